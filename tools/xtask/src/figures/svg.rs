// SPDX-License-Identifier: MIT OR Apache-2.0

//! A writer of SVG that knows how wide a text is at most: one that has no room is cut, and the figure says so.

use std::fmt::Write;

/// Colours in light and dark; each figure and each page brings them along.
pub const STYLE: &str = "\
:root{--bg:#ffffff;--fg:#1f2328;--dim:#59636e;--line:#818b98;--box:#f6f8fa;\
--ns:#dafbe1;--ns-line:#1a7f37;--root:#fff1c2;--root-line:#9a6700;--realm:#ddf4ff;--realm-line:#0969da;--bad:#cf222e}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--dim:#9198a1;--line:#6e7681;--box:#161b22;\
--ns:#12311d;--ns-line:#3fb950;--root:#3a2c0a;--root-line:#d29922;--realm:#10294a;--realm-line:#58a6ff;--bad:#f85149}}
text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:var(--fg)}
.dim{fill:var(--dim)}.over{paint-order:stroke;stroke:var(--bg);stroke-width:4px}.strong{font-weight:600}.page{fill:var(--bg)}
.box{fill:var(--box);stroke:var(--line)}.frame{fill:none;stroke:var(--line);stroke-dasharray:5 4}
.ns{fill:var(--ns);stroke:var(--ns-line)}.root{fill:var(--root);stroke:var(--root-line)}
.realm{fill:var(--realm);stroke:var(--realm-line)}.lane{stroke:var(--line)}
.way{stroke:var(--fg);stroke-width:1.5;fill:none}.back{stroke:var(--fg);stroke-width:1.5;stroke-dasharray:4 3;fill:none}
.goal{stroke:var(--bad);stroke-width:2}.head{fill:var(--fg)}.dot{fill:var(--fg)}.in-dot{fill:var(--bg);font-weight:600}
";

/// Returns `text` as it can stand between tags and in quotes. What XML does not allow becomes U+FFFD.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => result.push_str("&amp;"),
            '<' => result.push_str("&lt;"),
            '>' => result.push_str("&gt;"),
            '"' => result.push_str("&quot;"),
            '\'' => result.push_str("&#39;"),
            '\u{FFFE}' | '\u{FFFF}' => result.push('\u{FFFD}'),
            '\t' | '\n' => result.push(' '),
            letter if letter.is_control() => result.push('\u{FFFD}'),
            letter => result.push(letter),
        }
    }
    result
}

/// Returns at most how wide `text` is at this size, in pixels: the widths of a wide font, DejaVu Sans, rounded up.
#[must_use]
pub fn width(text: &str, size: u32) -> u32 {
    let thousandths = |letter: char| match letter {
        'i' | 'j' | 'l' | '\'' | '|' => 300,
        ' ' | ',' | '.' | ':' | ';' | 'I' => 340,
        'f' | 'r' | 't' | '(' | ')' | '-' | '/' => 420,
        'm' | 'w' | 'M' | 'W' | '%' => 1_000,
        'a'..='z' | '0'..='9' | '_' => 645,
        'A'..='Z' => 790,
        _ => 1_000,
    };
    (text.chars().map(thousandths).sum::<u32>() * size).div_ceil(1_000)
}

/// Returns an address as the project writes it, in groups of four digits.
#[must_use]
pub fn hex(address: u64) -> String {
    let digits = format!("{address:x}");
    let mut text = String::from("0x");
    for (index, digit) in digits.chars().enumerate() {
        if index != 0 && (digits.len() - index).is_multiple_of(4) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

/// Where a text begins, or what it is around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// x is its left end.
    Start,
    /// x is its middle.
    Middle,
    /// x is its right end.
    End,
}

/// A figure that is being drawn. Lengths are pixels.
#[derive(Debug, Default)]
pub struct Svg {
    body: String,
    /// Texts that had no room.
    cut: Vec<String>,
}

impl Svg {
    /// Draws a box with round corners.
    pub fn rect(&mut self, [x, y, width, height]: [u32; 4], class: &str) {
        self.line(&format!(
            "<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='5' class='{class}'/>"
        ));
    }

    /// Draws a line.
    pub fn stroke(&mut self, [x1, y1, x2, y2]: [u32; 4], class: &str) {
        self.line(&format!("<line x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}' class='{class}'/>"));
    }

    /// Draws a line through these points, with a head at its end.
    pub fn arrow(&mut self, points: &[[u32; 2]], class: &str) {
        let points: Vec<String> = points.iter().map(|[x, y]| format!("{x},{y}")).collect();
        let points = points.join(" ");
        self.line(&format!(
            "<polyline points='{points}' class='{class}' marker-end='url(#head)'/>"
        ));
    }

    /// Draws a number in a circle.
    pub fn dot(&mut self, [x, y]: [u32; 2], number: usize) {
        self.line(&format!("<circle cx='{x}' cy='{y}' r='11' class='dot'/>"));
        self.text([x, y + 5], 14, Anchor::Middle, "in-dot", 22, &number.to_string());
    }

    /// Writes a text on the line at y, cut to `room`.
    pub fn text(
        &mut self,
        [x, y]: [u32; 2],
        size: u32,
        anchor: Anchor,
        class: &str,
        room: u32,
        text: &str,
    ) {
        let mut shown = text.to_owned();
        if width(text, size) > room {
            self.cut.push(text.to_owned());
            while !shown.is_empty() && width(&shown, size) + size > room {
                shown.pop();
            }
            shown.push('…');
        }
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor='middle'",
            Anchor::End => " text-anchor='end'",
        };
        let class = if class.is_empty() { String::new() } else { format!(" class='{class}'") };
        let shown = escaped(&shown);
        self.line(&format!(
            "<text x='{x}' y='{y}' font-size='{size}'{anchor}{class}>{shown}</text>"
        ));
    }

    fn line(&mut self, text: &str) {
        self.body += text;
        self.body.push('\n');
    }

    /// Draws `other` on top.
    pub fn append(&mut self, other: Self) {
        self.body += &other.body;
        self.cut.extend(other.cut);
    }

    /// Returns the texts that had no room.
    #[must_use]
    pub fn cut(&self) -> &[String] {
        &self.cut
    }

    /// Returns the figure with its size and title; as a file it begins with the licence and has the [`STYLE`].
    #[must_use]
    pub fn finish(&self, [width, height]: [u32; 2], title: &str, is_file: bool) -> String {
        let title = escaped(title);
        let mut all = String::new();
        if is_file {
            all += "<!-- SPDX-License-Identifier: MIT OR Apache-2.0 -->\n";
            all += "<!-- Made by `make figures`. -->\n";
        }
        // A String takes everything.
        let _ = writeln!(
            all,
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' role='img' aria-label='{title}'>\n<title>{title}</title>"
        );
        if is_file {
            let _ = write!(all, "<style>\n{STYLE}</style>\n");
        }
        all += "<defs><marker id='head' markerWidth='9' markerHeight='8' refX='8' refY='4' orient='auto' \
            markerUnits='userSpaceOnUse'><path d='M0,0L9,4L0,8Z' class='head'/></marker></defs>\n";
        let _ = writeln!(all, "<rect width='{width}' height='{height}' rx='8' class='page'/>");
        all + &self.body + "</svg>\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_to_xml_is_escaped() {
        assert_eq!(
            escaped("<a b='c' d=\"e\">&amp;"),
            "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;amp;"
        );
        assert_eq!(escaped("a\u{0}b\u{1b}[1m\u{FFFF}\tc"), "a\u{FFFD}b\u{FFFD}[1m\u{FFFD} c");
        let mut svg = Svg::default();
        svg.text([0, 0], 14, Anchor::Start, "", 400, "</text><script>");
        let file = svg.finish([1, 1], "a'b", true);
        assert!(file.contains(">&lt;/text&gt;&lt;script&gt;</text>"), "{file}");
        assert!(file.contains("aria-label='a&#39;b'"), "{file}");
    }

    #[test]
    fn a_text_without_room_is_cut_to_it_and_named() {
        let mut svg = Svg::default();
        svg.text([0, 0], 10, Anchor::Start, "", 60, "aaaaaaaaa");
        assert!(svg.cut().is_empty(), "58.05 pixels");
        svg.text([0, 0], 10, Anchor::Start, "", 50, "aaaaaaaaa");
        assert_eq!(svg.cut(), ["aaaaaaaaa"]);
        let file = svg.finish([1, 1], "", false);
        assert!(file.contains(">aaaaaa…</text>"), "{file}");
        assert!(width("aaaaaa…", 10) <= 50);
    }
}
