"""One exchange with a target, measured where its bytes arrive.

The only room that uses httpx. The kernel timestamps what the sockets receive. httpx and httpcore
carry the request over our own streams. A bounded parser and the dialect read the response while it
arrives.
"""

import sys

# httpx loads its command line where click is installed, and rich with it: 6 MiB of an idle worker.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # the import system reads it
