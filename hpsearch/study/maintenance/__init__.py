"""What keeps studies in order: doctor, repair, rerun, plan."""
