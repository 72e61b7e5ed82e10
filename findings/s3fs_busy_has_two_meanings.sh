#!/bin/sh
# s3fs 2026.9.0 gives an OSError with errno EBUSY both for a server that asks for patience and for an object that is gone
# for good.
#
# Guess: EBUSY means one thing, that an object was replaced while it was open (s3fs.utils.FileExpired), since that is
# what its class says; a server that is overloaded (S3's codes SlowDown and ServiceUnavailable, HTTP 503) is an EIO, an
# EAGAIN or a TimeoutError.
# Seen: both are EBUSY. Waiting helps in the one case and never in the other, so who decides by errno alone gives up an
# object that the server would have handed out a second later, or asks for one that is gone again and again.
# The class tells them apart. A plain 500 is EREMOTEIO; a token that has expired is a PermissionError without an errno.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" --quiet install s3fs==2026.9.0
"$folder/env/bin/python" - <<'EOF'
import errno

import s3fs
from botocore.exceptions import ClientError
from s3fs.errors import translate_boto_error
from s3fs.utils import FileExpired

assert s3fs.__version__ == "2026.9.0", s3fs.__version__


def seen(code, message):
    error = translate_boto_error(ClientError({"Error": {"Code": code, "Message": message}}, "GetObject"))
    name = errno.errorcode.get(error.errno) if error.errno else None
    print(f"{code:<20} {type(error).__name__:<16} {name}")
    return type(error), name


assert seen("SlowDown", "Please reduce your request rate.") == (OSError, "EBUSY")
assert seen("ServiceUnavailable", "Service is unable to handle request.") == (OSError, "EBUSY")
assert seen("503", "Service Unavailable") == (OSError, "EBUSY")  # of a HEAD request, which has no body
replaced = FileExpired("bucket/a.avi", '"0123"')
print(f"{'replaced':<20} {type(replaced).__name__:<16} {errno.errorcode[replaced.errno]}")
assert errno.errorcode[replaced.errno] == "EBUSY" and isinstance(replaced, OSError)
assert seen("InternalError", "We encountered an internal error.") == (OSError, "EREMOTEIO")
assert seen("ExpiredToken", "The provided token has expired.") == (PermissionError, None)
EOF
