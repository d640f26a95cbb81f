"""One exchange with a target, measured where its bytes arrive.

The only room that uses httpx. The kernel timestamps what the sockets receive. httpx and httpcore
carry the request over our own streams. A bounded parser and the dialect read the response while it
arrives.
"""
