"""The plan of a city in road coordinates: streets, lanes, junctions and paint."""
