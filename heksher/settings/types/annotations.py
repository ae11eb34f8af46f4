"""Python annotations to the decoders of their Heksher types.

`docs/types.md` lists the supported types. Others are errors that say why and what to use instead.
"""

from __future__ import annotations

import collections.abc
from dataclasses import is_dataclass
from enum import Enum, Flag
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ForwardRef,
    Literal,
    NewType,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from typing_extensions import TypeAliasType, is_typeddict

from heksher.settings.types.containers import (
    MAPPINGS,
    SEQUENCES,
    SETS,
    mapping_decoder,
    sequence_decoder,
    set_decoder,
)
from heksher.settings.types.custom import SettingType
from heksher.settings.types.decoder import Decoder, Rejected, with_article
from heksher.settings.types.namespace import Namespace
from heksher.settings.types.options import (
    EnumDecoder,
    FlagDecoder,
    OptionSetDecoder,
    enum_decoder,
    literal_options,
)
from heksher.settings.types.primitives import PRIMITIVES, StrDecoder
from heksher.settings.types.pydantic_types import (
    ConstrainedDecoder,
    TextDecoder,
    constraints,
    text_decoder,
)
from heksher.settings.types.read_only import FrozenList, FrozenSet
from heksher.settings.types.record_fields import (
    RecordField,
    dataclass_fields,
    model_fields,
    typed_dict_fields,
)
from heksher.settings.types.records import RecordDecoder

_SECRETS = (SecretStr, SecretBytes, Secret)


def decoder_of(annotation: Any, namespace: Namespace | None = None) -> Decoder:
    """Return the decoder of *annotation*; `decoder.type` is its Heksher type.

    Raises:
        Rejected: It has no Heksher type; the reason says what to use instead.
    """
    primitive = _primitive(annotation)
    return primitive or _Builder(namespace or Namespace({})).build(annotation)


def check_within(annotation: Any) -> None:
    """Check that pydantic reads *annotation* in a model's field as its decoder does.

    Raises:
        Rejected: It reads it differently; the reason says what to use instead.
    """
    _Builder(Namespace({}), constrained=False).build(annotation)


def _primitive(annotation: Any) -> Decoder | None:
    return PRIMITIVES.get(annotation) if isinstance(annotation, type) else None


class _Builder:
    """Builds the decoders of one annotation, from the outside in.

    Args:
        namespace: Resolves forward references.
        constrained: Whether to check the constraints of `Annotated`; not in the fields of a record,
            where pydantic checks them.
    """

    def __init__(self, namespace: Namespace, *, constrained: bool = True) -> None:
        self._namespace = namespace
        self._constrained = constrained
        self._records: list[Any] = []

    def build(self, annotation: Any) -> Decoder:
        if isinstance(annotation, SettingType):
            return annotation.decoder()
        annotation = self._plainly(annotation)
        origin = get_origin(annotation)
        if isinstance(origin, TypeAliasType):
            return self.build(origin.__value__[get_args(annotation)])
        if origin is Annotated:
            return self._annotated(*get_args(annotation))
        if origin is Literal:
            return EnumDecoder(
                literal_options(get_args(annotation)), f"an option of {_name(annotation)}"
            )
        if origin in (Union, UnionType):
            return self._union(annotation)
        if origin is None:
            return self._plain(annotation)
        return self._container(annotation, origin, get_args(annotation))

    def _annotated(self, inner: Any, *metadata: Any) -> Decoder:
        inner = self._plainly(inner)
        decoder = self.build(inner)
        acting = constraints(metadata) if self._constrained else []
        if not acting:
            return decoder
        if isinstance(decoder, TextDecoder):
            return TextDecoder(Annotated[(inner, *acting)], decoder.python)
        return ConstrainedDecoder(decoder, Annotated[(self._shape(inner), *acting)])

    def _shape(self, annotation: Any) -> Any:
        """Return the type of the decoded value, with `Any` for parts that are decoded already."""
        annotation = self._plainly(annotation)
        origin = get_origin(annotation)
        if origin is Annotated:
            return self._shape(get_args(annotation)[0])
        if isinstance(origin, TypeAliasType):
            return self._shape(origin.__value__[get_args(annotation)])
        if origin in SEQUENCES:
            return list[Any] if SEQUENCES[origin][0] is FrozenList else tuple[Any, ...]
        if origin in SETS:
            return set[Any] if SETS[origin][0] is FrozenSet else frozenset[Any]
        if origin in MAPPINGS:
            return dict[str, Any]
        is_record = is_typeddict(annotation) or isinstance(annotation, SettingType)
        return Any if is_record else annotation

    def _plainly(self, annotation: Any) -> Any:
        """Return the type behind forward references, `NewType` and type aliases."""
        while True:
            if isinstance(annotation, (str, ForwardRef)):
                annotation = self._namespace.resolve(annotation)
            elif isinstance(annotation, NewType):
                annotation = annotation.__supertype__
            elif isinstance(annotation, TypeAliasType):
                annotation = annotation.__value__
            else:
                return annotation

    def _union(self, annotation: Any) -> Decoder:
        if NoneType in get_args(annotation):
            raise Rejected(
                "Heksher has no null, so T | None is not supported: use a value that means 'none', such"
                ' as 0 or "", or an Enum with a member for it'
            )
        raise Rejected("Heksher has no unions: use a single type, or Literal[...] for a few values")

    def _plain(self, annotation: Any) -> Decoder:
        primitive = _primitive(annotation)
        if primitive is not None:
            return primitive
        if is_typeddict(annotation):
            return self._record(annotation, typed_dict_fields(annotation))
        if not isinstance(annotation, type) or annotation is Any:
            return self._unsupported(annotation)
        if issubclass(annotation, _SECRETS):
            raise Rejected("settings must not hold secrets: their defaults and rules are readable")
        if issubclass(annotation, Flag):
            return FlagDecoder(annotation)
        if issubclass(annotation, Enum):
            return enum_decoder(annotation)
        # Not `issubclass`: importing RootModel costs 10 ms, for pydantic's plugins are looked for.
        if getattr(annotation, "__pydantic_root_model__", False):
            raise Rejected("a RootModel has no Heksher type of its own: use the type of its root")
        if issubclass(annotation, BaseModel):
            return self._record(annotation, model_fields(annotation, self._namespace.known))
        if is_dataclass(annotation):
            return self._record(annotation, dataclass_fields(annotation))
        return self._text(annotation)

    def _text(self, annotation: Any) -> Decoder:
        self._refuse_bare_container(annotation)
        if issubclass(annotation, bytearray):
            raise Rejected("bytearray is mutable: use bytes")
        return text_decoder(annotation)

    def _refuse_bare_container(self, annotation: Any) -> None:
        if annotation in SEQUENCES or annotation in SETS or annotation in MAPPINGS:
            example = "[str, int]" if annotation in MAPPINGS else "[int]"
            example = "[int, ...]" if annotation is tuple else example
            raise Rejected(
                f"{_name(annotation)} needs the type of its elements, as in"
                f" {_name(annotation)}{example}"
            )

    def _unsupported(self, annotation: Any) -> Decoder:
        self._refuse_bare_container(annotation)
        if annotation is None:
            raise Rejected("Heksher has no null")
        if annotation is Any or isinstance(annotation, TypeVar):
            raise Rejected(f"{_name(annotation)} is not a concrete type: use one")
        return TextDecoder(annotation, with_article(_name(annotation)))

    def _container(self, annotation: Any, origin: Any, args: tuple[Any, ...]) -> Decoder:
        if not args:
            self._refuse_bare_container(origin)
        if origin is tuple and (len(args) != 2 or args[1] is not Ellipsis):
            raise Rejected("Heksher has no fixed-length tuples: use tuple[T, ...]")
        if origin is collections.abc.Iterable and not self._constrained:
            raise Rejected("pydantic reads Iterable[T] in a record as an iterator: use Sequence[T]")
        if origin in SEQUENCES:
            return sequence_decoder(origin, self.build(args[0]))
        if origin in SETS:
            return self._set(origin, self.build(args[0]))
        if origin in MAPPINGS:
            return self._mapping(origin, *args)
        if is_typeddict(origin):
            raise Rejected(
                "a generic TypedDict has no Heksher type: use one without type parameters"
            )
        return self._text_or_record(annotation, origin)

    def _text_or_record(self, annotation: Any, origin: Any) -> Decoder:
        if isinstance(origin, type) and issubclass(origin, _SECRETS):
            raise Rejected("settings must not hold secrets: their defaults and rules are readable")
        if is_dataclass(origin):
            raise Rejected(
                "a generic dataclass has no Heksher type: use one without type parameters"
            )
        return TextDecoder(annotation, with_article(_name(annotation)))

    def _set(self, origin: Any, element: Decoder) -> Decoder:
        if isinstance(element, EnumDecoder):
            make, accepts = SETS[origin]
            return OptionSetDecoder(element, make, accepts=accepts)
        return set_decoder(origin, element)

    def _mapping(self, origin: Any, key: Any, value: Any) -> Decoder:
        if not isinstance(self.build(key), StrDecoder):
            raise Rejected("mapping keys must be str")
        return mapping_decoder(origin, self.build(value))

    def _record(self, record: Any, record_fields: list[RecordField]) -> Decoder:
        if record in self._records:
            raise Rejected(
                f"{record.__name__} contains itself, and Heksher types cannot be recursive"
            )
        self._records.append(record)
        outer, self._constrained = self._constrained, False
        try:
            decoders = {field.key: self._field(record, field) for field in record_fields}
        finally:
            self._constrained = outer
            self._records.pop()
        return RecordDecoder(record, record_fields, decoders)

    def _field(self, record: Any, field: RecordField) -> Decoder:
        try:
            return self.build(field.annotation)
        except Rejected as rejected:
            raise Rejected(f"field {field.name} of {record.__name__}: {rejected.reason}") from None


def _name(annotation: Any) -> str:
    return getattr(annotation, "__name__", None) or str(annotation).removeprefix("typing.")
