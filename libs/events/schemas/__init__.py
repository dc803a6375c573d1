"""The JSON Schemas of the facts and the services' AsyncAPI documents, both made from the types; and the check that a
change does not break what is stored.

`python -m libs.events.schemas` writes them, `python -m libs.events.schemas check` checks them.
"""
