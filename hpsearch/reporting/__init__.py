"""Tables, exports and the HTML report of a study, read from its journal."""
