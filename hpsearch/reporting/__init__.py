"""Tables, exports and the HTML report of a study, made from its journal."""
