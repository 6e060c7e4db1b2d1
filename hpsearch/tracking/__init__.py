"""Send a study's journal to MLflow. Importing this package does not import MLflow."""
