"""Who runs a command on the gateway's host."""

import os
import pwd

from ostiary.control import local_operator
from ostiary.control.access import Permission


def this_user() -> Permission:
    """Of whoever runs this, by the system's word."""
    number = os.getuid()
    try:
        return local_operator(pwd.getpwuid(number).pw_name)
    except KeyError:
        return local_operator(str(number))
