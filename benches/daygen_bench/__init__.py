"""Parts of benches/run."""
