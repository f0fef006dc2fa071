"""The database servers behind the shards: engines, pools, health, and what their schemas look like."""
