"""Runs commands of hpsearch one after another in this process, which pays for its imports once.

    python drive.py '["tune", "s.yaml"]' '["promote", "s", "--as", "m"]' …

Prints a line of JSON for each: its exit code and what it printed.
"""

import json
import sys
import traceback

from click.testing import CliRunner

from hpsearch.cli import main

for arguments in sys.argv[1:]:
    done = CliRunner().invoke(main, json.loads(arguments))
    trace = "" if done.exc_info is None else "".join(traceback.format_exception(*done.exc_info))
    print(json.dumps({"code": done.exit_code, "output": done.output, "trace": trace}), flush=True)
