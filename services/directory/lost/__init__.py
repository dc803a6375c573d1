"""LoST (RFC 5222) at `POST /lost`: which force's queue answers for a place.

request.py    what was asked, read from its XML
services.py   the service URNs that are served, and what stands for what
finding.py    the decision: which mappings, with which warnings
boundary.py   a force's area as a service boundary
answer.py     what is said, written as XML
door.py       HTTP
"""

from services.directory.lost.door import router

__all__ = ["router"]
