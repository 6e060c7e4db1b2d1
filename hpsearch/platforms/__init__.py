"""What differs between operating systems: durable writes, locks, processes."""
