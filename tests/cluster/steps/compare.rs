//! What differs between two texts of stories.

/// The lines of each section sorted: for what has no settled order.
pub fn sorted(text: &str) -> String {
    let mut sections: Vec<String> = Vec::new();
    for section in text.split("\n\n") {
        let (title, lines) = section.split_once('\n').unwrap_or((section, ""));
        let mut lines: Vec<&str> = lines.lines().collect();
        lines.sort_unstable();
        sections.push(format!("{title}\n{}", lines.join("\n")));
    }
    sections.join("\n\n")
}

/// The lines of both, with marks at those that only one has.
pub fn difference(expected: &str, came: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), came.lines().collect());
    let mut common = vec![vec![0; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = match old[i] == new[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut text = String::new();
    while i < old.len() || j < new.len() {
        let (mark, line) = if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
            (' ', old[i - 1])
        } else if j < new.len() && (i == old.len() || common[i][j + 1] >= common[i + 1][j]) {
            j += 1;
            ('+', new[j - 1])
        } else {
            i += 1;
            ('-', old[i - 1])
        };
        text += &format!("{mark} {line}\n");
    }
    text
}
