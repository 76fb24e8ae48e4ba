"""What saliency itself says: reliance and density, the quantities that the saliency reward is made of."""

from .probe import Finding, Findings, Probe


def reliance_and_density(probe: Probe) -> Findings:
    """Read reliance, density and the answer's log-probability off the learned masks.

        reliance        open - closed, nats per answer token
        density         salient tokens / reasoning tokens
        answer_logprob  open, nats per answer token

    Where a model was trained on these they prove nothing; that is what the other metrics are for.

    Source: AtManRL (arXiv 2604.16158); docs/method.md.
    """
    found = {}
    for case in probe.traced:
        s = case.saliency
        if s is not None:
            tokens = [
                {"token": token, "saliency": gate, "salient": salient}
                for token, gate, salient in zip(s.tokens, s.gates, s.salient, strict=True)
            ]
            found[case.index] = Finding(
                {"reliance": s.reliance, "density": s.density, "answer_logprob": s.open}, details={"reasoning": tokens}
            )
    return found
