"""The commands that are no stages: what each looks up, checks, writes and says."""
