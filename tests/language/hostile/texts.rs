//! Texts that are long, deep or many: of YAML, of steps and of documents.

use super::{HEAD, Shape, fill, list};

pub const TEXTS: &[(&str, Shape)] = &[
    ("comments that allow what is not reported", |n| {
        fill(
            n,
            "steps: []\n",
            |i| format!("# segno: allow(unused-stat{i}) x\n"),
            "",
        )
    }),
    ("comments that allow what is reported", |n| {
        fill(
            n,
            "steps: []\nstate:\n",
            |i| format!("  a{i}: 1 # segno: allow(unused-state) x\n"),
            "",
        )
    }),
    ("comments that give no reason", |n| {
        fill(n, "steps: []\n", |_| "# segno: allow(x)\n".into(), "")
    }),
    ("defaults with a long expression", |n| {
        let key = format!("\"${{ [{}'b'][0] }}\"", "'a',".repeat(3_900));
        let head = format!(
            "defaults:\n  activity: {{ start_to_close_timeout: 1s, priority: {{ fairness_key: {key} }} }}\nsteps:\n"
        );
        fill(n, &head, |_| "  - activity: x\n".into(), "")
    }),
    ("defaults with much data", |n| {
        let memo = list(n / 30, |i| format!("k{i}: v, "));
        fill(
            n,
            &format!("defaults:\n  child: {{ memo: {{ {memo} }} }}\nsteps:\n"),
            |_| "  - child: x\n".into(),
            "",
        )
    }),
    ("aliases of a long text", |n| {
        let text = "x".repeat(n / 2);
        format!(
            "{HEAD}steps: []\ndescription: &a {text}\ninput:\n  enum: [{}1]\n",
            "*a,".repeat(n / 8)
        )
    }),
    ("aliases of a long expression", |n| {
        let list = "1,".repeat(7_000);
        format!(
            "{HEAD}steps:\n  - log: &a \"${{ [{list}1].size() }}\"\n  - return: [{}1]\n",
            "*a,".repeat(n / 8)
        )
    }),
    ("anchors", |n| {
        fill(n, "steps:\n", |i| format!("  - &a{i} {{ log: x }}\n"), "")
    }),
    ("a long text", |n| {
        format!("{HEAD}steps: []\ndescription: {}\n", "x".repeat(n))
    }),
    ("a long key", |n| {
        format!("{HEAD}steps: []\n? {}\n: 1\n", "x".repeat(n))
    }),
    ("a long name that there is not", |n| {
        let state = list(n / 510, |i| format!("{}{i}: 1, ", "y".repeat(500)));
        format!(
            "{HEAD}steps: [{{ log: '${{ {} }}' }}]\nstate: {{ {state} }}\n",
            "x".repeat(16_000)
        )
    }),
    ("texts of a line", |n| {
        fill(n, "steps:\n", |_| "  - log: |\n      a\n".into(), "")
    }),
    ("folded texts", |n| {
        fill(n, "steps:\n", |_| "  - log: >\n\n      a\n".into(), "")
    }),
    ("empty lines", |n| {
        format!("{HEAD}steps:\n  - log: |\n{}      a\n", "\n".repeat(n))
    }),
    ("lines of a space", |n| {
        format!(
            "{HEAD}steps:\n  - log: >-\n{}      a\n",
            " \n".repeat(n / 2)
        )
    }),
    ("lines in quotes", |n| {
        format!("{HEAD}steps:\n  - log: \"{}\"\n", "a\n      ".repeat(n / 8))
    }),
    ("escapes", |n| {
        format!("{HEAD}steps:\n  - log: \"{}\"\n", "\\n".repeat(n / 2))
    }),
    ("expressions that YAML cuts", |n| {
        fill(
            n,
            "steps:\n",
            |_| "- return: ${ x ? {'a': 1} : 2 }\n".into(),
            "",
        )
    }),
    ("openings in a line", |n| {
        fill(n, "steps: [", |_| "$x {${, ".into(), "]\n")
    }),
    ("data of many levels", |n| {
        fill(
            n,
            "steps:\n",
            |_| format!("  - return: {}{}\n", "[".repeat(120), "]".repeat(120)),
            "",
        )
    }),
    ("steps of many levels", |n| {
        fill(
            n,
            "steps:\n",
            |_| {
                format!(
                    "  - {}{{ log: x }}{}\n",
                    "{ while: 'true', do: [ ".repeat(55),
                    " ] }".repeat(55)
                )
            },
            "",
        )
    }),
    ("conditions of many levels", |n| {
        fill(
            n,
            "steps:\n",
            |_| {
                format!(
                    "  - {}{{ return: 1 }}{}\n",
                    "{ if: input.a, then: [ ".repeat(55),
                    " ] }".repeat(55)
                )
            },
            "",
        )
    }),
    ("short steps", |n| {
        fill(n, "steps: [", |_| "{log: x},".into(), "]\n")
    }),
    ("short activities", |n| {
        fill(
            n,
            "defaults: { activity: { start_to_close_timeout: 1s, retry_policy: { maximum_attempts: 2 } } }\nsteps:\n",
            |_| "  - activity: x\n".into(),
            "",
        )
    }),
    ("short children", |n| {
        fill(n, "steps:\n", |_| "  - child: other\n".into(), "")
    }),
    ("compensations", |n| {
        fill(
            n,
            "defaults: { activity: { start_to_close_timeout: 1s } }\nsteps:\n",
            |_| "  - { activity: x, compensate: [{ activity: y }] }\n".into(),
            "",
        )
    }),
    ("cases", |n| {
        fill(
            n,
            "steps:\n  - switch: input.a\n    cases:\n",
            |i| format!("      - {{ is: {i}, do: [{{ log: x }}] }}\n"),
            "",
        )
    }),
    ("catches", |n| {
        fill(
            n,
            "steps:\n  - try: [{ log: x }]\n    catch:\n",
            |i| format!("      - {{ error: timout{i}, do: [{{ log: x }}] }}\n"),
            "",
        )
    }),
    ("activities that nothing runs", |n| {
        let steps = list(n / 120, |i| {
            format!("  - {{ activity: x{i}, start_to_close_timeout: 1s }}\n")
        });
        fill(
            n,
            &format!("steps:\n{steps}activities:\n"),
            |i| format!("  y{i}: {{}}\n"),
            "",
        )
    }),
    ("wrong options", |n| {
        fill(
            n,
            "steps:\n",
            |i| {
                format!(
                    "  - {{ activity: '{}', start_to_close_timeout: 1s }}\n",
                    "x".repeat(1_001 + i % 7)
                )
            },
            "",
        )
    }),
    ("files that there are not", |n| {
        fill(n, "steps: []\nuse:\n", |i| format!("  - f{i}.yaml\n"), "")
    }),
    ("schedules", |n| {
        fill(
            n,
            "steps: []\nschedules:\n",
            |i| format!("  s{i}: {{ cron: '{} 3 * * *' }}\n", i % 60),
            "",
        )
    }),
    ("documents", |n| {
        let mut text = String::new();
        for i in 0.. {
            if text.len() >= n {
                break;
            }
            text += &format!("---\nsegno: 1\nworkflow: a{i}\nsteps: []\n");
        }
        text
    }),
];
