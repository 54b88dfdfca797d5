//! Tables drawn with box characters: titles centred, cells to the right.

use super::{Answer, rows};

pub(crate) fn render(answer: Answer<'_>) -> String {
    let (titles, rows) = rows(answer);
    let titles: Vec<String> =
        titles.iter().map(|title| title.replace('_', " ").to_uppercase()).collect();
    draw(&titles, &rows)
}

fn draw(titles: &[String], rows: &[Vec<String>]) -> String {
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = titles
        .iter()
        .enumerate()
        .map(|(column, title)| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| width(cell.trim())).chain([width(title)]).max().unwrap_or(0)
        })
        .collect();
    let rule = |left: &str, middle: &str, right: &str| {
        let bars: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}\n", bars.join(middle))
    };
    let line = |cells: Vec<String>| format!("│ {} │\n", cells.join(" │ "));

    let mut out = rule("┌", "┬", "┐");
    // An odd spare column goes to the right, as in Rust's own centring.
    out +=
        &line(titles.iter().zip(&widths).map(|(cell, &width)| format!("{cell:^width$}")).collect());
    if !rows.is_empty() {
        out += &rule("├", "┼", "┤");
    }
    for row in rows {
        let cell = |(cell, &width): (&String, &usize)| format!("{:>width$}", cell.trim());
        out += &line(row.iter().zip(&widths).map(cell).collect());
    }
    out + &rule("└", "┴", "┘")
}
