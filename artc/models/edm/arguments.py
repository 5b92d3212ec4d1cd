"""The constructor arguments that files of NVlabs EDM record, and the values that make sense for each.

A file may say anything, so every argument has a kind that it must be of, and a range far beyond any published network
but short of what would hang the machine. Defaults are those of the rules and networks themselves.
Names and meanings: Karras et al. 2206.00364, appendix F, and the files themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from artc.errors import InputError


@dataclass(frozen=True, slots=True)
class Kind:
    """A set of values: in words, and as a test."""

    wanted: str
    accepts: Callable[[object], bool]


def whole(low: int, high: int) -> Kind:
    """A whole number within bounds; True and False are none."""
    return Kind(f"a whole number from {low} to {high}", lambda value: type(value) is int and low <= value <= high)


def even(low: int, high: int) -> Kind:
    """An even number within bounds."""
    among = range(low + low % 2, high + 1, 2)
    return Kind(f"an even number from {low} to {high}", lambda value: type(value) is int and value in among)


def real(low: float, high: float) -> Kind:
    """A number within bounds, which NaN never is."""
    return Kind(
        f"a number from {low:g} to {high:g}",
        lambda value: isinstance(value, (int, float)) and type(value) is not bool and low <= value <= high,
    )


def one_of(*names: str) -> Kind:
    """One of a few words."""
    return Kind(f"one of {', '.join(names)}", lambda value: isinstance(value, str) and value in names)


def several(item: Kind, counts: range) -> Kind:
    """A list of values of one kind, as long as one of the counts."""
    lengths = f"{counts[0]} to {counts[-1]}" if counts.step == 1 else f"{counts[0]}, {counts[1]}, ... {counts[-1]}"
    wanted = f"a list of {lengths} entries, each {item.wanted}"

    def accepts(value: object) -> bool:
        return isinstance(value, (list, tuple)) and len(value) in counts and all(map(item.accepts, value))

    return Kind(wanted, accepts)


FLAG = Kind("true or false", lambda value: type(value) is bool)
ANY_SIGMA = real(0, float("inf"))
POSITIVE = real(1e-12, 1e12)

# Shared by every preconditioner. `use_fp16` asks for a precision, which artc lets its user choose instead.
IMAGE: dict[str, Kind] = {
    "img_resolution": whole(1, 4096),
    "img_channels": whole(1, 1024),
    "label_dim": whole(0, 100_000),
    "use_fp16": FLAG,
}

RULE_ARGUMENTS: dict[str, dict[str, Kind]] = {
    "EDMPrecond": {"sigma_min": ANY_SIGMA, "sigma_max": ANY_SIGMA, "sigma_data": POSITIVE},
    "VPPrecond": {"beta_d": real(1e-6, 100), "beta_min": real(1e-6, 100), "M": whole(2, 10_000), "epsilon_t": POSITIVE},
    "VEPrecond": {"sigma_min": ANY_SIGMA, "sigma_max": ANY_SIGMA},
    "iDDPMPrecond": {"C_1": POSITIVE, "C_2": POSITIVE, "M": whole(2, 10_000)},
}

NETWORK: dict[str, Kind] = {
    "augment_dim": whole(0, 1000),
    "model_channels": even(4, 8192),  # half sines, half cosines, where it is the width of the noise embedding
    "channel_mult": several(whole(1, 64), range(1, 13)),
    "channel_mult_emb": whole(1, 64),
    "num_blocks": whole(1, 32),
    "attn_resolutions": several(whole(1, 4096), range(13)),
}

NETWORK_ARGUMENTS: dict[str, dict[str, Kind]] = {
    "DhariwalUNet": NETWORK,
    "SongUNet": NETWORK
    | {
        "embedding_type": one_of("positional", "fourier"),
        "channel_mult_noise": whole(1, 64),
        "encoder_type": one_of("standard", "skip", "residual"),
        "decoder_type": one_of("standard", "skip"),
        # An even number of taps: an odd one would not halve and double sizes exactly.
        "resample_filter": several(real(1e-6, 1e6), range(2, 17, 2)),
    },
}

# Without effect outside of training.
TRAINING_ONLY: dict[str, Kind] = {"dropout": real(0, 1), "label_dropout": real(0, 1)}


def check(arguments: Mapping[str, object], kinds: Mapping[str, Kind], owner: str) -> None:
    """Hold every argument to its kind; raises InputError for a value that is not of it, and for an unknown name."""
    for name, value in arguments.items():
        if name not in kinds:
            raise InputError(f"{owner} has no argument {_shown(name)}.", hint=f"Known: {', '.join(sorted(kinds))}.")
        if not kinds[name].accepts(value):
            raise InputError(f"{name} of {owner} is {_shown(value)}.", hint=f"It must be {kinds[name].wanted}.")


def _shown(value: object) -> str:
    """A value for a message, at bounded cost: a hostile file may hold a number of a million digits."""
    if isinstance(value, (list, tuple)):
        entries = ["[...]" if isinstance(entry, (list, tuple)) else _shown(entry) for entry in value[:8]]
        return f"[{', '.join(entries)}{', ...' if len(value) > 8 else ''}]"
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, str):
        return repr(value[:60])
    return repr(value) if value is None or isinstance(value, (int, float)) else f"of type {type(value).__name__}"
