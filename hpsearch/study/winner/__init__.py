"""The end of a study: finalists, the choice among them, the final fit, the locked rows."""
