"""The end of a study: finalists, choice of the winner, final fit, locked rows."""
