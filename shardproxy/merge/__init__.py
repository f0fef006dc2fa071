"""The answers of several shards as one: ordered, grouped, made distinct and cut. Pure, streaming, bounded."""
