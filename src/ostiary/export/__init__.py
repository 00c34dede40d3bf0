"""What was recorded, given to others: as OCSF events, to a file, a syslog collector or a webhook.

The recordings are the queue. `tail` reads on from where a sink was given the last event, `ocsf` says what a record is
in the Open Cybersecurity Schema, `sinks` deliver, `exporter` brings them together. Sessions pay nothing for it, and
nothing that was recorded can be lost on the way: what is not acknowledged is read again.
"""

from ostiary.export.config import (
    AnySink,
    FileSettings,
    OnFull,
    OtlpSettings,
    Statements,
    SyslogSettings,
    WebhookSettings,
)

__all__ = ["AnySink", "FileSettings", "OnFull", "OtlpSettings", "Statements", "SyslogSettings", "WebhookSettings"]
