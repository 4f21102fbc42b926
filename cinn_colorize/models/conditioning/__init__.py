"""From L to features: backbone, feature pyramid and the heads of the levels."""
