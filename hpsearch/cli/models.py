"""Commands about models in use: promote, rollback, models, predict."""
