"""What lasts beside the journal: the audit log."""
