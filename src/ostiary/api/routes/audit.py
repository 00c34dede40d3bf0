"""Is the log whole?"""

from typing import Final

from fastapi import APIRouter

from ostiary.api.caller import CallerDep, Control
from ostiary.api.models import VerificationOut

router = APIRouter(tags=["audit"])
VERIFY_PATH: Final = "/audit/verify"


@router.post(VERIFY_PATH)
async def verify(caller: CallerDep, control: Control) -> VerificationOut:
    """Check every recording, heads log and audit log; takes `audit` on the gateway. One at a time; changes nothing."""
    return VerificationOut.of(await control.verifier.verify(caller))
