"""Values of Arrow as fields of a typed service's messages, and back."""

import pyarrow as pa
from google.protobuf.descriptor import FieldDescriptor

SCALARS = {
    FieldDescriptor.TYPE_STRING: pa.string(),
    FieldDescriptor.TYPE_BYTES: pa.binary(),
    FieldDescriptor.TYPE_BOOL: pa.bool_(),
    FieldDescriptor.TYPE_INT32: pa.int32(),
    FieldDescriptor.TYPE_INT64: pa.int64(),
    # Spark has no numbers without a sign.
    FieldDescriptor.TYPE_UINT32: pa.int64(),
    FieldDescriptor.TYPE_UINT64: pa.decimal128(20, 0),
    FieldDescriptor.TYPE_FLOAT: pa.float32(),
    FieldDescriptor.TYPE_DOUBLE: pa.float64(),
}


def arrow_type(field: FieldDescriptor) -> pa.DataType:
    """Returns the type of a column with the values of a field."""
    message = field.message_type
    if message is None:
        kind = SCALARS[field.type]
    elif _is_matrix_row(message):
        kind = arrow_type(message.fields_by_name["values"])
    else:
        kind = pa.struct([(part.name, arrow_type(part)) for part in message.fields])
    return pa.list_(pa.field("element", kind)) if field.is_repeated else kind


def read(message, field: FieldDescriptor):
    """Returns the value of a field as Arrow takes it; `None` for one that is absent."""
    value = getattr(message, field.name)
    if field.is_repeated:
        return list(value) if field.message_type is None else [_plain(field, v) for v in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _plain(field, value)


def _plain(field: FieldDescriptor, value):
    if field.message_type is None:
        return value
    if _is_matrix_row(field.message_type):
        return list(value.values)
    return {part.name: read(value, part) for part in field.message_type.fields}


def fill(message, field: FieldDescriptor, value):
    """Sets a field. One value where a list is wanted is a list of one; a matrix is a list of
    lists; a tensor of more dimensions is a struct of `shape` and `data`.

    Raises `TypeError` or `ValueError` where the value does not fit."""
    if field.message_type is None:
        if field.is_repeated:
            getattr(message, field.name).extend(value if isinstance(value, list) else [value])
        else:
            setattr(message, field.name, value)
    elif field.is_repeated:
        for row in value:
            getattr(message, field.name).add().values.extend(row)
    else:
        for part in field.message_type.fields:
            fill(getattr(message, field.name), part, value[part.name])


def may_fit(kind: pa.DataType, field: FieldDescriptor) -> bool:
    """Returns whether values of an Arrow type may be values of a field, by what lists hold."""
    message = field.message_type
    if message is not None:
        if not _is_matrix_row(message):
            return pa.types.is_struct(kind)
        field = message.fields_by_name["values"]
    while pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    wanted = SCALARS[field.type]
    if pa.types.is_null(kind):
        return True
    if pa.types.is_string(wanted):
        return pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if pa.types.is_binary(wanted):
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    if pa.types.is_boolean(wanted):
        return pa.types.is_boolean(kind)
    is_whole = pa.types.is_integer(kind)
    return is_whole or (pa.types.is_floating(wanted) and pa.types.is_floating(kind))


def _is_matrix_row(message) -> bool:
    """Returns whether a message is a row of a matrix, such as `motet.v1.FloatRow`."""
    return message.full_name.startswith("motet.v1.") and message.name.endswith("Row")
