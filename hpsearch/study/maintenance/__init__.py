"""Maintenance of studies: doctor, repair, rerun, plan."""
