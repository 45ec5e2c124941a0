"""What decoders of logs of JSON lines share; the inline half is in json_lines.pxd."""

cimport cython
from libc.stdint cimport int64_t


@cython.final
cdef class LineFault:
    def __init__(self, line, what, expected):
        self.line = line
        self.what = what
        self.expected = expected


cdef step_t step_of(str name, str text) except *:
    """A decimal string as a step."""
    cdef step_t step
    whole, _, decimals = text.partition(".")
    if not text.isascii() or not (whole + decimals).isdigit() or len(whole + decimals) > 18:
        raise ValueError(f"{name} is {text!r}; expected a positive decimal string of at most 18 digits")
    decimals = decimals.rstrip("0")
    step.mantissa = int(whole + decimals)
    step.decimals = len(decimals)
    if step.mantissa <= 0:
        raise ValueError(f"{name} is {text!r}; expected more than zero")
    return step


cdef LineFault line_fault(
    int status, int64_t number, str field, span_t text, const char* line, const char* end, str begins, str values,
    str price, str lot,
):
    """What is wrong with a line, in words: `field` is at fault, and of it `text`."""
    value = ""
    if status not in (SCAN_STAMP, SCAN_JSON, SCAN_MISSING):
        value = _shown(text.at[:min(text.end - text.at, 60)])
    if status == SCAN_STAMP:
        what, expected = f"line begins with {_shown(line[:min(end - line, 40)])}", begins
    elif status == SCAN_JSON:
        what, expected = f"malformed JSON at column {text.at - line + 1}", "one whole JSON object"
    elif status == SCAN_MISSING:
        what, expected = f"field {field} is missing", "a message with all fields of its kind"
    elif status == SCAN_NUMBER:
        what, expected = f"field {field} is {value}", "a whole number below 2^63"
    elif status == SCAN_DECIMAL:
        what, expected = f"number in field {field} is {value}", "a decimal without sign or exponent"
    elif status == SCAN_TICK:
        what, expected = f"price in field {field} is {value}", f"a multiple of {price}"
    elif status == SCAN_LOT:
        what, expected = f"quantity in field {field} is {value}", f"a multiple of {lot}"
    elif status == SCAN_LARGE:
        what, expected = f"number in field {field} is {value}", "one that fits 64 bits"
    elif status == SCAN_LEVELS:
        what, expected = f"levels in field {field} break off at {value}", '[["price","quantity"],...]'
    elif status == SCAN_REPEATED:
        what, expected = f"field {field} appears twice", "each field once"
    else:
        what, expected = f"field {field} is {value}", values
    return LineFault(number, what, expected)


cdef str _shown(bytes text):
    """Bytes of a log for a message: printable, in quotes."""
    return "'" + text.decode("utf-8", "replace").encode("ascii", "backslashreplace").decode().strip('"') + "'"
