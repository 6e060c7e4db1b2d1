"""MLflow as the projection of a study's journal. Importing this imports no MLflow."""
