//! The operators' signatures. They are syntax with operations of their own: `expression::operators` computes them.

use super::{Call, Pure, Section, row};
use crate::expression::context::{Failure, Operand};
use crate::value::Value;

pub(crate) const SECTION: Section = Section {
    title: "Operators",
    extension: false,
    about: "From the weakest binding to the strongest: `?:`, `||`, `&&`, the comparisons and `in`, `+` and `-`, `*` `/` `%`, `!` and unary `-`. \
            Comparisons and `==` compare numbers by value whatever their types. That `int` and `double` mix in arithmetic, giving a `double`, is an extension.",
    rows: ROWS,
};

/// An operator is never called through the table.
const NEVER: Pure = |_: &mut Call, _: &[Operand]| -> Result<Value, Failure> {
    Err(Failure::new("an operator is not called by its name"))
};

const ROWS: &[super::Row] = &[
    row(
        "bool ? A : A -> A",
        NEVER,
        "The second operand if the condition is true, else the third; the other one is not evaluated.",
        &["(1 < 2 ? 'yes' : 'no') == 'yes'"],
    ),
    row(
        "bool || bool -> bool",
        NEVER,
        "True if either is. An error on one side does not count if the other side is true.",
        &["1 / 0 > 1 || true"],
    ),
    row(
        "bool && bool -> bool",
        NEVER,
        "True if both are. An error on one side does not count if the other side is false.",
        &["!(1 / 0 > 1 && false)"],
    ),
    row("!bool -> bool", NEVER, "The opposite.", &["!false"]),
    row(
        "any == any -> bool",
        NEVER,
        "The same value: numbers by value, lists item by item, maps entry by entry whatever their order. Values of different types are not equal; that is no error.",
        &["1 == 1.0", "{'a': [1]} == {'a': [1]}", "dyn('1') != 1"],
    ),
    row(
        "any != any -> bool",
        NEVER,
        "Not the same value.",
        &["'a' != 'b'"],
    ),
    row(
        "A < A -> bool",
        NEVER,
        "Order of numbers, strings (by code point), bytes, bools, timestamps, durations. `<=`, `>` and `>=` likewise. Anything else is an error.",
        &["1 < 1.5", "'a' < 'b'"],
    ),
    row(
        "number < number -> bool",
        NEVER,
        "Numbers of different types compare by value.",
        &["1 < 2u"],
    ),
    row("A <= A -> bool", NEVER, "Not greater.", &["2 <= 2"]),
    row(
        "number <= number -> bool",
        NEVER,
        "Numbers of different types compare by value.",
        &["1u <= 1.0"],
    ),
    row(
        "A > A -> bool",
        NEVER,
        "Greater.",
        &["timestamp(1) > timestamp(0)"],
    ),
    row(
        "number > number -> bool",
        NEVER,
        "Numbers of different types compare by value.",
        &["2.5 > 2"],
    ),
    row(
        "A >= A -> bool",
        NEVER,
        "Not less.",
        &["duration('1m') >= duration('60s')"],
    ),
    row(
        "number >= number -> bool",
        NEVER,
        "Numbers of different types compare by value.",
        &["2u >= 2"],
    ),
    row(
        "A in list(A) -> bool",
        NEVER,
        "Whether the list has an equal item.",
        &["2 in [1, 2, 3]"],
    ),
    row(
        "A in map(A, B) -> bool",
        NEVER,
        "Whether the map has the key.",
        &["'a' in {'a': null}"],
    ),
    row(
        "int + int -> int",
        NEVER,
        "The sum. Beyond the range of `int` it is an error, as for `-`, `*` and `/`.",
        &["1 + 2 == 3"],
    ),
    row("uint + uint -> uint", NEVER, "The sum.", &["1u + 2u == 3u"]),
    row(
        "double + double -> double",
        NEVER,
        "The sum.",
        &["0.5 + 0.25 == 0.75"],
    ),
    row(
        "int + double -> double",
        NEVER,
        "Extension: the sum as a double.",
        &["1 + 0.5 == 1.5"],
    ),
    row(
        "double + int -> double",
        NEVER,
        "Extension: the sum as a double.",
        &["0.5 + 1 == 1.5"],
    ),
    row(
        "string + string -> string",
        NEVER,
        "The two concatenated.",
        &["'a' + 'b' == 'ab'"],
    ),
    row(
        "bytes + bytes -> bytes",
        NEVER,
        "The two concatenated.",
        &["b'a' + b'b' == b'ab'"],
    ),
    row(
        "list(A) + list(A) -> list(A)",
        NEVER,
        "The two concatenated.",
        &["[1] + [2] == [1, 2]"],
    ),
    row(
        "timestamp + duration -> timestamp",
        NEVER,
        "Later by the duration.",
        &["timestamp(0) + duration('1m') == timestamp(60)"],
    ),
    row(
        "duration + timestamp -> timestamp",
        NEVER,
        "Later by the duration.",
        &["duration('1m') + timestamp(0) == timestamp(60)"],
    ),
    row(
        "duration + duration -> duration",
        NEVER,
        "The sum.",
        &["duration('1m') + duration('1s') == duration('61s')"],
    ),
    row(
        "int - int -> int",
        NEVER,
        "The difference.",
        &["1 - 2 == -1"],
    ),
    row(
        "uint - uint -> uint",
        NEVER,
        "The difference; below zero is an error.",
        &["2u - 1u == 1u"],
    ),
    row(
        "double - double -> double",
        NEVER,
        "The difference.",
        &["0.5 - 1.0 == -0.5"],
    ),
    row(
        "int - double -> double",
        NEVER,
        "Extension: the difference as a double.",
        &["1 - 0.5 == 0.5"],
    ),
    row(
        "double - int -> double",
        NEVER,
        "Extension: the difference as a double.",
        &["1.5 - 1 == 0.5"],
    ),
    row(
        "timestamp - timestamp -> duration",
        NEVER,
        "The time between.",
        &["timestamp(60) - timestamp(0) == duration('1m')"],
    ),
    row(
        "timestamp - duration -> timestamp",
        NEVER,
        "Earlier by the duration.",
        &["timestamp(60) - duration('1m') == timestamp(0)"],
    ),
    row(
        "duration - duration -> duration",
        NEVER,
        "The difference.",
        &["duration('1m') - duration('1s') == duration('59s')"],
    ),
    row("int * int -> int", NEVER, "The product.", &["2 * 3 == 6"]),
    row(
        "uint * uint -> uint",
        NEVER,
        "The product.",
        &["2u * 3u == 6u"],
    ),
    row(
        "double * double -> double",
        NEVER,
        "The product.",
        &["1.5 * 2.0 == 3.0"],
    ),
    row(
        "int * double -> double",
        NEVER,
        "Extension: the product as a double.",
        &["2 * 1.5 == 3.0"],
    ),
    row(
        "double * int -> double",
        NEVER,
        "Extension: the product as a double.",
        &["1.5 * 2 == 3.0"],
    ),
    row(
        "int / int -> int",
        NEVER,
        "The quotient, rounded towards zero. By zero is an error.",
        &["7 / 2 == 3", "-7 / 2 == -3"],
    ),
    row(
        "uint / uint -> uint",
        NEVER,
        "The quotient, rounded down. By zero is an error.",
        &["7u / 2u == 3u"],
    ),
    row(
        "double / double -> double",
        NEVER,
        "The quotient; by zero it is infinite or not a number.",
        &["7.0 / 2.0 == 3.5"],
    ),
    row(
        "int / double -> double",
        NEVER,
        "Extension: the quotient as a double.",
        &["7 / 2.0 == 3.5"],
    ),
    row(
        "double / int -> double",
        NEVER,
        "Extension: the quotient as a double.",
        &["7.0 / 2 == 3.5"],
    ),
    row(
        "int % int -> int",
        NEVER,
        "The remainder, with the sign of the first operand. By zero is an error.",
        &["7 % 2 == 1", "-7 % 2 == -1"],
    ),
    row(
        "uint % uint -> uint",
        NEVER,
        "The remainder. By zero is an error.",
        &["7u % 2u == 1u"],
    ),
    row(
        "-int -> int",
        NEVER,
        "The number with the other sign.",
        &["-(1) == 0 - 1"],
    ),
    row(
        "-double -> double",
        NEVER,
        "The number with the other sign.",
        &["-(1.5) == 0 - 1.5"],
    ),
    row(
        "list(A)[int] -> A",
        NEVER,
        "The item at a position counted from 0; beyond the list it is an error. With `[?i]` an optional.",
        &["['a', 'b'][1] == 'b'", "['a'][?5] == optional.none()"],
    ),
    row(
        "map(A, B)[A] -> B",
        NEVER,
        "The value under a key; a missing key is an error. With `[?k]` an optional. `m.name` is `m['name']`, and `.?name` `[?'name']`.",
        &[
            "{'a': 1}['a'] == 1",
            "{'a': 1}.a == 1",
            "{'a': 1}.?b == optional.none()",
        ],
    ),
];
