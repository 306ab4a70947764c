"""Print the S3 URI of a model version: `source_uri.py champion`, or a version's number."""

import sys

from components.errors import ReadableError
from components.platform.tracking import registry

if __name__ == "__main__":
    which = sys.argv[1]
    try:
        named = {"version": which} if which.isdigit() else {"alias": which}
        print(registry.source_uri(registry.MODEL, **named))
    except ReadableError as error:
        sys.exit(f"source_uri: {error}")
