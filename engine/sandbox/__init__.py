"""The loopback exchange: a market that speaks Kraken's public protocol, to practise on what goes wrong."""
