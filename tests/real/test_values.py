"""Codecs of values beside a real server: what it sends is read, and what is written for it is what it meant."""

import psycopg
import pytest
from psycopg import pq, sql

from ostiary.protocols.postgres.values import codec_of
from tests.real.servers import PostgresServer

VALUES: dict[str, list[str]] = {
    "int2": ["0", "-32768", "32767"],
    "int4": ["0", "-2147483648", "2147483647"],
    "int8": ["0", "-9223372036854775808", "9223372036854775807"],
    "numeric": ["0", "0.00", "-1", "10000", "9999.9999", "-0.000012345", "123456789012345678901234567890.5", "1e100"],
    "numeric(20,4)": ["12345.6", "-0.0001", "1000000000000000.0001"],
    "float4": ["0", "-1.5", "3.4e38", "1e-30"],
    "float8": ["0", "-1.5", "1.7976931348623157e308", "0.1", "5e-324"],
    "date": ["1970-01-01", "2000-02-29", "0001-12-31", "0001-01-01 BC", "4714-11-24 BC", "5874897-12-31", "infinity"],
    "timestamp": ["2000-02-29 23:59:59.999999", "0044-03-15 12:00 BC", "294276-12-31 23:59:59", "-infinity"],
    "timestamptz": ["1999-12-31 23:30:00.5+05:53:28", "1883-01-01 00:00 BC", "1970-01-01 00:00-11:30", "infinity"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "123e4567-e89b-12d3-a456-426614174000"],
    "inet": ["10.1.2.3", "10.1.2.3/8", "0.0.0.0/0", "::1", "2001:db8::1/64", "::ffff:1.2.3.4"],
    "cidr": ["10.1.0.0/16", "10.1.2.3/32", "2001:db8::/48"],
    "bytea": ["", "\\x00ff5c", "\\x" + "41" * 300],
    "text": ["", "a", 'Zoë\n\\",{}'],
    "varchar(12)": ["", "twelve chars"],
    "char(7)": ["", "ab", "Zoë"],
    "name": ["pg_class"],
    '"char"': ["x"],
}
ARRAYS = {
    "int4[]": ["{}", "{1,NULL,-3}", "{{1,2},{3,4}}", "[0:1]={7,8}", "[2:2][-1:0]={{7,8}}"],
    "text[]": ["{}", '{a,"b c",NULL,"NULL","",",","\\"","\\\\","{","=","[1:2]={a"}', '{{"a}","b"},{"{c",NULL}}'],
    "numeric[]": ["{1.50,NULL,-3}"],
    "date[]": ['{2000-01-01,"0044-03-15 BC",infinity}'],
    "timestamptz[]": ['{"2000-01-01 00:00:00+00"}'],
    "uuid[]": ["{123e4567-e89b-12d3-a456-426614174000}"],
    "inet[]": ["{10.0.0.1,NULL}"],
    "bytea[]": ['{"\\\\x00ff",NULL}'],
    "varchar(3)[]": ["{abc,NULL}"],
    "char(3)[]": ["{ab,NULL}"],
}
EVERY = VALUES | ARRAYS
ZONES = ("UTC", "Asia/Kathmandu", "America/New_York")


@pytest.mark.parametrize("binary", [0, 1], ids=["text", "binary"])
@pytest.mark.parametrize("name", list(EVERY))
def test_what_the_server_sends_is_read_and_written(postgres: PostgresServer, name: str, binary: int) -> None:
    """Decoded, encoded and sent back as a parameter it is the same value to the server, in any time zone."""
    format_ = pq.Format.BINARY if binary else pq.Format.TEXT
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        for zone in ZONES:
            connection.execute(sql.SQL("SET TimeZone = {}").format(zone))
            for value in EVERY[name]:
                asked = f"SELECT $1::text::{name} AS v"
                result = connection.pgconn.exec_params(asked.encode(), [value.encode()], result_format=format_)
                assert result.status == pq.ExecStatus.TUPLES_OK, result.error_message
                cell = result.get_value(0, 0)
                assert cell is not None
                oid = result.ftype(0)
                codec = codec_of(oid, result.fmod(0), binary)
                if codec is None:
                    assert name == "text"
                    continue
                written = codec.encode(codec.decode(cell))
                if binary:
                    assert written == cell
                same = f"SELECT $2 IS NOT DISTINCT FROM $1::text::{name}, $2::text = $1::text::{name}::text"
                told = connection.pgconn.exec_params(
                    same.encode(), [value.encode(), written], [0, oid], [pq.Format.TEXT, format_]
                )
                assert told.status == pq.ExecStatus.TUPLES_OK, told.error_message
                assert told.get_value(0, 0) == b"t", (value, cell, written)
                assert told.get_value(0, 1) == b"t", (value, cell, written)


@pytest.mark.parametrize("name", ["date", "timestamp", "timestamptz"])
@pytest.mark.parametrize("style", ["SQL, DMY", "German", "Postgres, MDY"])
def test_other_styles_of_dates_are_not_read(postgres: PostgresServer, name: str, style: str) -> None:
    """Rather than taken for another date."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute("SELECT set_config('DateStyle', %s, false)", [style])
        result = connection.pgconn.exec_(f"SELECT '2001-02-03 04:05:06'::{name}".encode())
        cell = result.get_value(0, 0)
        codec = codec_of(result.ftype(0), -1, 0)
        assert cell is not None
        assert codec is not None
        with pytest.raises(ValueError, match="not an ISO"):
            codec.decode(cell)


@pytest.mark.parametrize("name", ["bool", "time", "interval", "json", "int4range", "point", "money", "xml"])
def test_types_without_a_codec(postgres: PostgresServer, name: str) -> None:
    """Masking has no use for their values but null."""
    with psycopg.connect(postgres.dsn()) as connection:
        row = connection.execute("SELECT %s::regtype::oid", [name]).fetchone()
    assert row is not None
    assert codec_of(row[0], -1, 0) is codec_of(row[0], -1, 1) is None
