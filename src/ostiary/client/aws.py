"""A signed GetCallerIdentity request as the proof of an AWS identity (docs/identity.md), signed by botocore."""

import json
from base64 import b64encode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.session import Session

from ostiary.core import Secret
from ostiary.identity.aws.proof import BODY, SERVER_ID


class NotSigned(Exception):  # noqa: N818 - a state
    """There is nothing to sign with; the text is a clause that holds no secret."""


def sign(audience: str) -> Secret:
    """A proof for this audience with the credentials that botocore finds, for the endpoint of their region.

    Takes as long as botocore's own search does. Raises NotSigned.
    """
    try:
        session = Session()
        region = session.get_config_variable("region")
        found = session.get_credentials()
        if found is None:
            raise NotSigned("botocore found no credentials")
        host = f"sts.{region}.amazonaws.com" if region else "sts.amazonaws.com"
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Host": host, SERVER_ID: audience}
        request = AWSRequest("POST", f"https://{host}/", headers, BODY)
        SigV4Auth(found.get_frozen_credentials(), "sts", region or "us-east-1").add_auth(request)
    except BotoCoreError as error:
        raise NotSigned(f"botocore could not have credentials ({type(error).__name__})") from None
    signed = json.dumps(dict(request.headers.items()))
    proof = {
        "iam_http_request_method": "POST",
        "iam_request_url": _base64(f"https://{host}/"),
        "iam_request_body": _base64(BODY.decode()),
        "iam_request_headers": _base64(signed),
    }
    return Secret(_base64(json.dumps(proof)))


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
