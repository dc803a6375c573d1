"""Boundaries out of other people's files: read, examined, drawn. Pure: nothing is fetched, and nothing is stored.

reading.py   the bytes of a GeoJSON, KML, GeoPackage or Shapefile -> each force's area
checks.py    what is wrong with them, and what they change -> a report
picture.py   the same as a map
"""
