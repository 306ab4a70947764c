"""A small evaluator of NetworkPolicies: may one pod open a connection to another, or to an address?

After the API's own text (kubernetes.io/docs/concepts/services-networking/network-policies): a pod that no policy of a
direction selects is open in that direction; policies add up; a connection needs the sender's egress and the receiver's
ingress. An ipBlock never matches a pod here, as most network plugins see it. Named ports are not used.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NAMESPACE_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Pod:
    """A pod: its namespace, its labels, and those that its namespace carries besides its name."""

    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Address:
    """Something outside the pods: an IPv4 address, a node's local one included."""

    ip: str


Peer = Pod | Address


def allowed(
    policies: Sequence[Mapping[str, Any]], source: Peer, target: Peer, port: int, protocol: str = "TCP"
) -> bool:
    """Whether `source` may open a connection to `target`."""
    return _open(policies, source, target, port, protocol, "Egress") and _open(
        policies, target, source, port, protocol, "Ingress"
    )


def _open(
    policies: Sequence[Mapping[str, Any]], pod: Peer, peer: Peer, port: int, protocol: str, direction: str
) -> bool:
    if isinstance(pod, Address):
        return True
    binding = [
        policy for policy in policies
        if policy["metadata"]["namespace"] == pod.namespace
        and direction in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], pod.labels)
    ]  # fmt: skip
    if not binding:
        return True
    key, side = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    return any(
        _port(rule, port, protocol) and _peer(rule.get(side), peer, policy["metadata"]["namespace"])
        for policy in binding
        for rule in policy["spec"].get(key, ())
    )


def _port(rule: Mapping[str, Any], port: int, protocol: str) -> bool:
    return not rule.get("ports") or any(
        entry.get("protocol", "TCP") == protocol
        and entry.get("port", port) <= port <= entry.get("endPort", entry.get("port", port))
        for entry in rule["ports"]
    )


def _peer(entries: Sequence[Mapping[str, Any]] | None, peer: Peer, home: str) -> bool:
    return not entries or any(_matches(entry, peer, home) for entry in entries)


def _matches(entry: Mapping[str, Any], peer: Peer, home: str) -> bool:
    if block := entry.get("ipBlock"):
        if isinstance(peer, Pod):
            return False
        ip = ipaddress.ip_address(peer.ip)
        return ip in ipaddress.ip_network(block["cidr"]) and not any(
            ip in ipaddress.ip_network(other) for other in block.get("except", ())
        )
    if isinstance(peer, Address):
        return False
    if "namespaceSelector" in entry:
        labels = {**peer.namespace_labels, NAMESPACE_LABEL: peer.namespace}
        if not selects(entry["namespaceSelector"], labels):
            return False
    elif peer.namespace != home:
        return False
    return selects(entry.get("podSelector", {}), peer.labels)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; the empty one matches everything."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for wanted in selector.get("matchExpressions", ()):
        value, values = labels.get(wanted["key"]), wanted.get("values", ())
        holds = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[wanted["operator"]]
        if not holds:
            return False
    return True
