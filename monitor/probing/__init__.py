"""The wire: one exchange with a target, measured where its bytes arrive.

The only user of httpx. The kernel stamps what the sockets receive; httpx and httpcore carry
the request over streams of ours; a bounded parser and the dialect listen while it arrives.
"""
