//! Definitions made to hurt, of any size: each is a shape for which some way of reading, checking or compiling takes more
//! than its share of time or memory. What a shape is made of is said by its name.

mod texts;

use texts::TEXTS;

const HEAD: &str = "segno: 1\nworkflow: hostile\n";

/// A shape: about so many bytes of it.
pub type Shape = fn(usize) -> String;

/// `part`s until the text is long enough.
fn fill(size: usize, head: &str, part: impl Fn(usize) -> String, tail: &str) -> String {
    let mut text = format!("{HEAD}{head}");
    for i in 0.. {
        if text.len() >= size {
            break;
        }
        text += &part(i);
    }
    text + tail
}

fn list(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect()
}

/// An expression again and again, up to the bound of one.
fn expressions(size: usize, expression: &str) -> String {
    fill(
        size,
        "steps:\n",
        |_| format!("  - set: {{ a: \"${{ {expression} }}\" }}\n"),
        "",
    )
}

fn bindings(first: &str, body: &str, levels: usize) -> String {
    let mut text = format!("cel.bind(x0, {first}, ");
    for i in 1..levels {
        let body = body.replace('_', &format!("x{}", i - 1));
        text += &format!("cel.bind(x{i}, {body}, ");
    }
    text + &format!("x{} == x0", levels - 1) + &")".repeat(levels)
}

/// Each block calls the one before it twice.
fn calls(size: usize, output: &str, end: &str) -> String {
    let mut text = format!("{HEAD}blocks:\n  b0: {{ {output}do: [{end}] }}\n");
    let mut last = 0;
    while text.len() < size {
        let called = last;
        last += 1;
        text += &format!(
            "  b{last}: {{ {output}do: [{{ call: b{called} }}, {{ call: b{called} }}] }}\n"
        );
    }
    let undone = "compensate: [{ log: x }]";
    text + &format!("steps: [{{ call: b{last}, {undone} }}]\n")
}

/// Each type refers to the one before it.
fn types(size: usize, of: impl Fn(usize) -> String) -> String {
    let mut text = format!("{HEAD}steps: []\ntypes:\n  t0: {{ type: string }}\n");
    let mut last = 0;
    while text.len() < size {
        last += 1;
        text += &format!("  t{last}: {}\n", of(last - 1));
    }
    text + &format!("input: {{ $ref: '#/types/t{last}' }}\n")
}

/// All of them.
pub fn shapes() -> impl Iterator<Item = &'static (&'static str, Shape)> {
    MEANINGS.iter().chain(TEXTS)
}

/// Names, types, schemas and expressions.
const MEANINGS: &[(&str, Shape)] = &[
    ("ids", |n| {
        fill(
            n,
            "steps:\n",
            |i| format!("  - {{ id: a{i}, log: x }}\n"),
            "",
        )
    }),
    ("ids and blocks after them", |n| {
        let ids = list(n / 60, |i| format!("  - {{ id: a{i}, log: x }}\n"));
        fill(
            n,
            &format!("steps:\n{ids}"),
            |_| "  - do: [{ log: x }]\n".into(),
            "",
        )
    }),
    ("ids that are used", |n| {
        let step = |i: usize| {
            format!(
                "  - {{ id: a{i}, activity: x, start_to_close_timeout: 1s }}\n  - log: '${{ a{i} }}'\n"
            )
        };
        fill(n, "steps:\n", step, "")
    }),
    ("the same id", |n| {
        fill(n, "steps:\n", |_| "  - { id: a, log: x }\n".into(), "")
    }),
    ("handles", |n| {
        let step = |i: usize| {
            format!(
                "  - {{ id: s{i}, start: {{ activity: x, start_to_close_timeout: 1s }} }}\n  - await: s{i}\n"
            )
        };
        fill(n, "steps:\n", step, "")
    }),
    ("handles that there are not", |n| {
        let step = |i: usize| {
            format!(
                "  - {{ id: s{i}, start: {{ activity: x, start_to_close_timeout: 1s }} }}\n  - await: t{i}\n"
            )
        };
        fill(n, "steps:\n", step, "")
    }),
    ("blocks that call twice", |n| calls(n, "", "{ log: x }")),
    ("blocks with a result that call twice", |n| {
        calls(n, "output: string, ", "{ return: x }")
    }),
    ("blocks with effects that call twice", |n| {
        calls(n, "", "{ signal: { workflow_id: x, name: y } }")
    }),
    ("blocks in a circle", |n| {
        let count = n / 40;
        let blocks = list(count, |i| {
            format!("  b{i}: {{ do: [{{ call: b{} }}] }}\n", (i + 1) % count)
        });
        format!("{HEAD}blocks:\n{blocks}steps: [{{ call: b0 }}]\n")
    }),
    ("blocks that there are not", |n| {
        let blocks = list(n / 60, |i| format!("  b{i}: {{ do: [{{ log: x }}] }}\n"));
        fill(
            n,
            &format!("blocks:\n{blocks}steps:\n"),
            |i| format!("  - call: c{i}x\n"),
            "",
        )
    }),
    ("a chain of sets", |n| {
        let count = n / 45;
        let state = list(count, |i| format!("b{i}: 1, "));
        let sets = list(count, |i| {
            format!("  - set: {{ b{i}: '${{ state.b{} }}' }}\n", i + 1)
        });
        format!("{HEAD}state: {{ {state}b{count}: 1 }}\nsteps:\n{sets}  - set: {{ b{count}: x }}\n")
    }),
    ("near misses", |n| {
        let state = list(n / 40, |i| format!("  abcdef{i}: 0\n"));
        fill(
            n,
            &format!("state:\n{state}steps:\n"),
            |i| format!("  - set: {{ abcdeg{i}: 1 }}\n"),
            "",
        )
    }),
    ("far misses", |n| {
        let state = list(n / 40, |i| format!("  a{i}: 0\n"));
        fill(
            n,
            &format!("state:\n{state}steps:\n"),
            |i| format!("  - set: {{ zqwxkv{i}h: 1 }}\n"),
            "",
        )
    }),
    ("names that there are not", |n| {
        let state = list(n / 40, |i| format!("v{i}: 1, "));
        fill(
            n,
            &format!("state: {{ {state} }}\nsteps:\n"),
            |i| format!("  - log: '${{ statf.v{i} }}'\n"),
            "",
        )
    }),
    ("fields that there are not", |n| {
        let state = list(n / 40, |i| format!("vabc{i}: 1, "));
        fill(
            n,
            &format!("state: {{ {state} }}\nsteps:\n"),
            |i| format!("  - log: '${{ state.vabd{i}x }}'\n"),
            "",
        )
    }),
    ("a large state as a whole", |n| {
        let state = list(n / 30, |i| {
            format!("v{i}: {}, ", if i % 2 == 0 { "1" } else { "x" })
        });
        let step = |_| {
            "  - set: { z: '${ true ? state : input }' }\n  - set: { y: '${ state.map(k, k) }' }\n  - set: { x: '${ state == input }' }\n".into()
        };
        fill(n, &format!("state: {{ {state} }}\nsteps:\n"), step, "")
    }),
    ("a large state and queries", |n| {
        let state = list(n / 30, |i| format!("v{i}: 1, "));
        fill(
            n,
            &format!("steps: []\nstate: {{ {state} }}\nqueries:\n"),
            |i| format!("  q{i}: ${{ state.v{i} }}\n"),
            "",
        )
    }),
    ("signals", |n| {
        fill(
            n,
            "steps: []\nsignals:\n",
            |i| format!("  s{i}: {{ do: [{{ set: {{ a: '${{ args }}' }} }}] }}\n"),
            "",
        )
    }),
    ("updates", |n| {
        let update = |i: usize| {
            format!(
                "  u{i}: {{ input: string, output: string, validate: args == 'x', do: [{{ return: x }}] }}\n"
            )
        };
        fill(n, "steps: []\nupdates:\n", update, "")
    }),
    ("waits for signals", |n| {
        let signals = list(n / 80, |i| format!("  s{i}: {{ do: [{{ log: x }}] }}\n"));
        fill(
            n,
            &format!("signals:\n{signals}steps:\n"),
            |i| format!("  - wait: {{ signal: w{i} }}\n"),
            "",
        )
    }),
    ("a large input handed on", |n| {
        let schema = list(n / 100, |i| format!("p{i}: {{ type: string }}, "));
        let schema = format!("{{ type: object, properties: {{ {schema} }} }}");
        let head = format!(
            "input: {schema}\nblocks:\n  b: {{ input: {schema}, do: [{{ log: x }}] }}\nsteps:\n"
        );
        fill(
            n,
            &head,
            |_| "  - call: b\n    input: ${ input }\n".into(),
            "",
        )
    }),
    ("optional fields that are asked for", |n| {
        let schema = list(n / 90, |i| format!("o{i}: {{}}, "));
        let head = format!(
            "input: {{ type: object, required: [], properties: {{ {schema} }} }}\nsteps:\n"
        );
        let step = |i: usize| {
            format!(
                "  - {{ if: '!has(input.o{i})', then: [{{ return: 1 }}] }}\n  - log: ${{ input.o{i} }}\n"
            )
        };
        fill(n, &head, step, "")
    }),
    ("required fields", |n| {
        let properties = list(n / 30, |i| format!("    p{i}: {{}}\n"));
        let names = list(n / 30, |i| format!("p{i}, "));
        format!(
            "{HEAD}steps: []\ninput:\n  type: object\n  properties:\n{properties}  required: [{names}]\n"
        )
    }),
    ("types that refer twice", |n| {
        types(n, |i| {
            format!("{{ oneOf: [{{ $ref: '#/types/t{i}' }}, {{ $ref: '#/types/t{i}' }}] }}")
        })
    }),
    ("objects of types twice", |n| {
        types(n, |i| {
            format!(
                "{{ type: object, properties: {{ p: {{ $ref: '#/types/t{i}' }}, q: {{ $ref: '#/types/t{i}' }} }} }}"
            )
        })
    }),
    ("forty types that refer twice", |n| {
        types(n.min(2_500), |i| {
            format!("{{ oneOf: [{{ $ref: '#/types/t{i}' }}, {{ $ref: '#/types/t{i}' }}] }}")
        })
    }),
    ("types in a chain", |n| {
        types(n, |i| format!("{{ allOf: [{{ $ref: '#/types/t{i}' }}] }}"))
    }),
    ("definitions within a schema", |n| {
        let mut text = format!("{HEAD}steps: []\ninput:\n  $defs:\n    t0: {{ type: string }}\n");
        let mut last = 0;
        while text.len() < n {
            text += &format!(
                "    t{}: {{ anyOf: [{{ $ref: '#/$defs/t{last}' }}, {{ $ref: '#/$defs/t{last}' }}] }}\n",
                last + 1
            );
            last += 1;
        }
        text + &format!("  $ref: '#/$defs/t{last}'\n")
    }),
    ("schemas of one large type", |n| {
        let properties = list(n / 60, |i| format!("p{i}: {{ type: string }}, "));
        let head = format!(
            "steps: []\ntypes:\n  t: {{ type: object, properties: {{ {properties} }} }}\nsignals:\n"
        );
        fill(
            n,
            &head,
            |i| format!("  s{i}: {{ input: {{ $ref: '#/types/t' }}, do: [{{ log: x }}] }}\n"),
            "",
        )
    }),
    ("types", |n| {
        fill(
            n,
            "steps: []\ntypes:\n",
            |i| format!("  t{i}: {{ type: string }}\n"),
            "",
        )
    }),
    ("types that there are not", |n| {
        let types = list(n / 90, |i| format!("  tabd{i}: {{ type: string }}\n"));
        fill(
            n,
            &format!("steps: []\ntypes:\n{types}input:\n  allOf:\n"),
            |i| format!("    - $ref: '#/types/tabc{i}'\n"),
            "",
        )
    }),
    ("an enum of maps", |n| {
        fill(
            n,
            "steps: []\ninput:\n  enum: [",
            |i| format!("{{ a{i}: 1 }}, "),
            "1]\n",
        )
    }),
    ("nullable objects within each other", |n| {
        let mut schema = "{ type: string }".to_owned();
        let mut value = "1".to_owned();
        for _ in 0..50 {
            schema = format!("{{ type: [object, 'null'], properties: {{ p: {schema} }} }}");
            value = format!("{{'p': {value}}}");
        }
        let head = format!("blocks:\n  b: {{ input: {schema}, do: [{{ log: x }}] }}\nsteps:\n");
        fill(
            n,
            &head,
            |_| format!("  - {{ call: b, input: \"${{ {value} }}\" }}\n"),
            "",
        )
    }),
    ("patterns in schemas", |n| {
        fill(
            n,
            "steps: []\ninput:\n  type: object\n  properties:\n",
            |i| {
                format!(
                    "    a{i}: {{ pattern: '(a{{500}}b{{{}}}){{20}}' }}\n",
                    400 + i
                )
            },
            "",
        )
    }),
    ("patterns in schemas that look ahead", |n| {
        fill(
            n,
            "steps: []\ninput:\n  type: object\n  properties:\n",
            |i| {
                format!(
                    "    a{i}: {{ pattern: '(?=x)(a{{500}}b{{{}}}){{20}}' }}\n",
                    400 + i
                )
            },
            "",
        )
    }),
    ("patterns of names in schemas", |n| {
        fill(
            n,
            "steps: []\ninput:\n  patternProperties:\n",
            |i| format!("    '(\\w{{20}}b{{{}}}){{9}}': {{}}\n", i + 1),
            "",
        )
    }),
    ("patterns in expressions", |n| {
        fill(
            n,
            "steps:\n",
            |i| {
                format!(
                    "  - {{ if: \"input.a.matches('(a{{500}}b{{{}}}){{10}}')\", then: [{{ log: x }}] }}\n",
                    400 + i
                )
            },
            "",
        )
    }),
    ("small patterns in expressions", |n| {
        fill(
            n,
            "steps:\n",
            |i| format!("  - {{ if: \"input.a.matches('[^x]{i}')\", then: [{{ log: x }}] }}\n"),
            "",
        )
    }),
    ("types that double in map", |n| {
        expressions(
            n,
            &format!(
                "[{{'a': 1}}, {{'b': 2}}]{}",
                ".map(x, {'p': x, 'q': x})".repeat(60)
            ),
        )
    }),
    ("types that double in bind", |n| {
        expressions(n, &bindings("{'a': 1}", "{'a': _, 'b': _}", 40))
    }),
    ("unions that double", |n| {
        expressions(n, &bindings("'a'", "[_, [_]]", 40))
    }),
    ("optionals that double", |n| {
        expressions(n, &bindings("['a']", "[[_, optional.of(_)]]", 40))
    }),
    ("maps that have nothing in common", |n| {
        let maps = list(1_000, |i| format!("{{'a{i}': 1}}, "));
        expressions(n, &format!("[{maps}{{}}].size()"))
    }),
    ("calls with a large map", |n| {
        let map = list(700, |i| format!("'a{i}': 1, "));
        expressions(
            n,
            &format!(
                "cel.bind(x, {{{map}'b': 1}}, [{}1])",
                "size(x), ".repeat(700)
            ),
        )
    }),
    ("constants that are short to write", |n| {
        expressions(n, &format!("[{}1]", "lists.range(900), ".repeat(800)))
    }),
    ("long lists", |n| {
        expressions(n, &format!("[{}1]", "1,".repeat(7_900)))
    }),
    ("lists within lists", |n| {
        expressions(n, &format!("{}1{}", "[".repeat(60), "]".repeat(60)))
    }),
    ("long sums", |n| {
        expressions(n, &format!("{}1", "state.a + ".repeat(1_500)))
    }),
    ("long paths", |n| {
        expressions(n, &format!("input{}", ".a".repeat(240)))
    }),
    ("long conditions", |n| {
        expressions(n, &format!("{}1", "true ? 1 : ".repeat(1_200)))
    }),
    ("functions that there are not", |n| {
        expressions(n, &format!("[{}1]", "siz(), ".repeat(2_000)))
    }),
    ("many expressions in one value", |n| {
        fill(n, "steps:\n  - return: [", |_| "'${1+1}', ".into(), "'']\n")
    }),
    ("many expressions in one text", |n| {
        fill(
            n,
            "steps:\n  - return: |\n",
            |_| "      ${1} x\n".into(),
            "",
        )
    }),
    ("many broken expressions in one value", |n| {
        fill(n, "steps:\n  - return: [", |_| "'${1 1}', ".into(), "'']\n")
    }),
    ("maps in data that have nothing in common", |n| {
        fill(
            n,
            "steps:\n  - return: [",
            |i| format!("{{ a{i}: 1 }}, "),
            "{}]\n",
        )
    }),
];
