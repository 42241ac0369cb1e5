//! Drawings of the products, as SVG made here: a motif for each category, colours and ground by the
//! product's id, so that each looks the same on every page. No text from users goes into them.

use maud::{Markup, PreEscaped};

struct Palette {
    ground: &'static str,
    shade: &'static str,
    main: &'static str,
    dark: &'static str,
    light: &'static str,
    accent: &'static str,
}

const PALETTES: [Palette; 8] = [
    Palette {
        ground: "#f7e9df",
        shade: "#f0d9c8",
        main: "#c9694a",
        dark: "#98472f",
        light: "#ecb49c",
        accent: "#2f5d50",
    },
    Palette {
        ground: "#e6efe5",
        shade: "#d3e3d2",
        main: "#6a9573",
        dark: "#466b52",
        light: "#b0d0b4",
        accent: "#d9883d",
    },
    Palette {
        ground: "#e4eaf3",
        shade: "#d1dcec",
        main: "#43658f",
        dark: "#2b4466",
        light: "#9ab4d3",
        accent: "#e6b04c",
    },
    Palette {
        ground: "#faf1d9",
        shade: "#f4e4b8",
        main: "#dba43a",
        dark: "#a4751c",
        light: "#f3d592",
        accent: "#3f5f8a",
    },
    Palette {
        ground: "#f1e7f0",
        shade: "#e4d3e3",
        main: "#8a5a88",
        dark: "#623f61",
        light: "#c6a3c4",
        accent: "#d9a441",
    },
    Palette {
        ground: "#deefed",
        shade: "#c7e2df",
        main: "#3b8c8a",
        dark: "#266461",
        light: "#94cac7",
        accent: "#e0734f",
    },
    Palette {
        ground: "#fbe8e7",
        shade: "#f6d5d4",
        main: "#d57a80",
        dark: "#a8525a",
        light: "#f1bcbe",
        accent: "#5d7f66",
    },
    Palette {
        ground: "#ebebe7",
        shade: "#dcdcd6",
        main: "#545c5d",
        dark: "#343a3a",
        light: "#a3adac",
        accent: "#e09b3d",
    },
];

/// A product's picture; `id` chooses its colours.
pub fn product(motif: &str, id: i64) -> Markup {
    // Neighbours in a category differ by a constant, so the id is stirred first.
    let stirred = (id as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let palette = &PALETTES[(stirred % 8) as usize];
    let ground = ground(palette, (stirred >> 8) % 4);
    let figure = figure(motif, palette);
    PreEscaped(format!(
        r#"<svg class="art" viewBox="0 0 200 200" preserveAspectRatio="xMidYMid slice" aria-hidden="true"><rect width="200" height="200" fill="{}"/>{ground}{figure}</svg>"#,
        palette.ground
    ))
}

/// The motif alone, for tiles that have a colour of their own.
pub fn motif(motif: &str, id: i64) -> Markup {
    let palette = &PALETTES[(id.unsigned_abs() % 8) as usize];
    let figure = figure(motif, palette);
    PreEscaped(format!(
        r#"<svg class="motif" viewBox="30 30 140 140" aria-hidden="true"><circle cx="100" cy="100" r="70" fill="{}"/>{figure}</svg>"#,
        palette.ground
    ))
}

fn ground(p: &Palette, which: u64) -> String {
    let shade = p.shade;
    match which {
        0 => format!(r#"<circle cx="100" cy="100" r="76" fill="{shade}"/>"#),
        1 => format!(r#"<path d="M36 200v-96a64 64 0 0 1 128 0v96z" fill="{shade}"/>"#),
        2 => format!(
            r#"<path d="M0 150q60-22 110-6t90-10v66H0z" fill="{shade}"/><circle cx="152" cy="46" r="18" fill="{shade}"/>"#
        ),
        _ => format!(r#"<rect y="148" width="200" height="52" fill="{shade}"/>"#),
    }
}

fn figure(motif: &str, p: &Palette) -> String {
    let Palette {
        main,
        dark,
        light,
        accent,
        ..
    } = p;
    let shadow = r##"<ellipse cx="100" cy="157" rx="50" ry="6" fill="#000" opacity=".09"/>"##;
    let body = match motif {
        "mug" => format!(
            r#"<path d="M126 92h10a19 19 0 0 1 0 38h-10" fill="none" stroke="{dark}" stroke-width="10"/>
<path d="M60 78h70v62a16 16 0 0 1-16 16H76a16 16 0 0 1-16-16z" fill="{main}"/><path d="M60 104h70v16H60z" fill="{light}"/>
<path d="M82 66q-8-8 0-16t0-16M104 66q-8-8 0-16t0-16" fill="none" stroke="{light}" stroke-width="5" stroke-linecap="round"/>"#
        ),
        "teapot" => format!(
            r#"<path d="M62 96q-24-4-24 20t28 20" fill="none" stroke="{dark}" stroke-width="9" stroke-linecap="round"/>
<path d="M132 132q22-8 24-50l12 2q2 56-32 66z" fill="{dark}"/><ellipse cx="100" cy="118" rx="44" ry="38" fill="{main}"/>
<path d="M70 90a44 38 0 0 1 60 0z" fill="{light}"/><circle cx="100" cy="72" r="9" fill="{accent}"/><path d="M58 124q42 16 84 0" fill="none" stroke="{light}" stroke-width="5"/>"#
        ),
        "pan" => format!(
            r#"<path d="M36 102h22M142 102h22" stroke="{dark}" stroke-width="12" stroke-linecap="round"/><path d="M50 92h100v48a16 16 0 0 1-16 16H66a16 16 0 0 1-16-16z" fill="{main}"/>
<path d="M50 92q50-34 100 0z" fill="{light}"/><rect x="44" y="88" width="112" height="9" rx="4.500" fill="{dark}"/><circle cx="100" cy="66" r="8" fill="{accent}"/><path d="M64 112v28" stroke="{light}" stroke-width="6" stroke-linecap="round"/>"#
        ),
        "lamp" => format!(
            r##"<path d="M58 100L48 154h104l-10-54z" fill="#f7c65b" opacity=".32"/><rect x="96" y="98" width="8" height="52" fill="{dark}"/><path d="M76 44h48l26 58H50z" fill="{main}"/>
<path d="M76 44h16L82 102H50z" fill="{light}" opacity=".6"/><path d="M72 156a28 10 0 0 1 56 0z" fill="{dark}"/><circle cx="112" cy="112" r="3.500" fill="{accent}"/><path d="M112 100v10" stroke="{accent}" stroke-width="2"/>"##
        ),
        "chair" => format!(
            r#"<path d="M70 114l-10 42M130 114l10 42M84 116l-4 34M116 116l4 34" stroke="{accent}" stroke-width="7" stroke-linecap="round"/><path d="M66 110V66a26 26 0 0 1 26-26h16a26 26 0 0 1 26 26v44z" fill="{main}"/>
<path d="M80 104V70a14 14 0 0 1 14-14h12a14 14 0 0 1 14 14v34z" fill="{light}" opacity=".55"/><rect x="56" y="104" width="88" height="18" rx="9" fill="{dark}"/>"#
        ),
        "plant" => format!(
            r##"<path d="M100 112V66" stroke="#3f7a55" stroke-width="4"/><path d="M100 104C70 102 54 82 52 54c28 4 46 22 48 50z" fill="#4f8f67"/><path d="M100 96c30-2 46-22 48-50-28 4-46 22-48 50z" fill="#6dac7f"/>
<path d="M100 84c-16-18-16-36 0-54 16 18 16 36 0 54z" fill="#3f7a55"/><path d="M70 114h60l-9 42H79z" fill="{main}"/><rect x="64" y="104" width="72" height="15" rx="5" fill="{dark}"/><path d="M77 134h46" stroke="{light}" stroke-width="5" stroke-linecap="round"/>"##
        ),
        "vase" => format!(
            r##"<path d="M96 74Q84 54 78 38M100 74V30M104 74q10-18 20-30" fill="none" stroke="#4f8f67" stroke-width="4" stroke-linecap="round"/><circle cx="77" cy="36" r="10" fill="{accent}"/><circle cx="100" cy="28" r="11" fill="{light}"/><circle cx="126" cy="42" r="9" fill="{accent}"/>
<path d="M84 70h32v10c0 10 24 20 24 44 0 20-16 32-40 32s-40-12-40-32c0-24 24-34 24-44z" fill="{main}"/><rect x="80" y="66" width="40" height="9" rx="4.500" fill="{dark}"/><path d="M61 120q39 14 78 0" fill="none" stroke="{light}" stroke-width="6"/>"##
        ),
        "candle" => format!(
            r##"<circle cx="100" cy="62" r="32" fill="#ffd98a" opacity=".35"/><path d="M100 38c13 15 13 26 0 34-13-8-13-19 0-34z" fill="#f3a83b"/><path d="M100 54c5 6 5 12 0 16-5-4-5-10 0-16z" fill="#fff3d0"/><path d="M100 70v16" stroke="{dark}" stroke-width="3"/>
<rect x="66" y="84" width="68" height="72" rx="11" fill="{main}"/><rect x="66" y="84" width="68" height="14" rx="7" fill="{light}"/><rect x="80" y="110" width="40" height="28" rx="4" fill="#fffaf0"/><path d="M88 120h24M92 128h16" stroke="{dark}" stroke-width="3" stroke-linecap="round"/>"##
        ),
        "cushion" => format!(
            r#"<path d="M52 58q48 14 96 0-13 48 0 96-48-13-96 0 13-48 0-96z" fill="{main}"/><path d="M68 66q8 40 0 80M132 66q-8 40 0 80" fill="none" stroke="{light}" stroke-width="6"/>
<path d="M100 80l18 26-18 26-18-26z" fill="{accent}"/><path d="M100 92l9 14-9 14-9-14z" fill="{light}"/>"#
        ),
        "rug" => format!(
            r#"<path d="M44 64h112M44 78h112M44 92h112M44 106h112M44 120h112M44 134h112M44 148h112" stroke="{light}" stroke-width="5"/><rect x="52" y="56" width="96" height="100" rx="3" fill="{main}"/><rect x="60" y="64" width="80" height="84" fill="none" stroke="{light}" stroke-width="4"/>
<path d="M100 72l30 34-30 34-30-34z" fill="{dark}"/><path d="M100 88l17 18-17 18-17-18z" fill="{accent}"/><path d="M68 72h12l-12 14zM132 72h-12l12 14zM68 140h12l-12-14zM132 140h-12l12-14z" fill="{light}"/>"#
        ),
        "clock" => format!(
            r##"<circle cx="100" cy="100" r="56" fill="{main}"/><circle cx="100" cy="100" r="45" fill="#fffdf8"/><path d="M100 61v8M100 131v8M61 100h8M131 100h8" stroke="{dark}" stroke-width="5" stroke-linecap="round"/>
<path d="M100 100V74" stroke="{dark}" stroke-width="6" stroke-linecap="round"/><path d="M100 100l20 12" stroke="{dark}" stroke-width="5" stroke-linecap="round"/><path d="M100 100L86 126" stroke="{accent}" stroke-width="3" stroke-linecap="round"/><circle cx="100" cy="100" r="5" fill="{accent}"/>"##
        ),
        "backpack" => format!(
            r#"<path d="M82 56v-8a18 18 0 0 1 36 0v8" fill="none" stroke="{dark}" stroke-width="8"/><rect x="50" y="100" width="14" height="42" rx="7" fill="{dark}"/><rect x="136" y="100" width="14" height="42" rx="7" fill="{dark}"/><path d="M60 92a40 40 0 0 1 80 0v48a16 16 0 0 1-16 16H76a16 16 0 0 1-16-16z" fill="{main}"/>
<path d="M60 94q40 18 80 0" fill="none" stroke="{dark}" stroke-width="4"/><rect x="74" y="112" width="52" height="36" rx="9" fill="{light}"/><path d="M74 124h52" stroke="{dark}" stroke-width="3"/><rect x="95" y="119" width="10" height="12" rx="3" fill="{accent}"/>"#
        ),
        "umbrella" => format!(
            r#"<path d="M100 46v92a13 13 0 0 0 26 0v-4" fill="none" stroke="{accent}" stroke-width="7" stroke-linecap="round"/><path d="M38 106a62 60 0 0 1 124 0q-16-15-31 0-15-15-31 0-15-15-31 0-15-15-31 0z" fill="{main}"/>
<path d="M69 106q2-40 31-60 29 20 31 60-15-15-31 0-16-15-31 0z" fill="{light}"/><path d="M100 46v-9" stroke="{dark}" stroke-width="6" stroke-linecap="round"/>"#
        ),
        "beanie" => format!(
            r#"<circle cx="100" cy="52" r="17" fill="{accent}"/><path d="M54 124C54 84 74 62 100 62s46 22 46 62z" fill="{main}"/><path d="M78 72q-8 24-8 50M100 64v58M122 72q8 24 8 50" fill="none" stroke="{dark}" stroke-width="3" opacity=".45"/>
<path d="M56 104l11-10 11 10 11-10 11 10 11-10 11 10 11-10 11 10" fill="none" stroke="{light}" stroke-width="5"/><rect x="48" y="118" width="104" height="32" rx="13" fill="{dark}"/><path d="M66 122v24M83 122v24M100 122v24M117 122v24M134 122v24" stroke="{light}" stroke-width="3" opacity=".5"/>"#
        ),
        "shirt" => format!(
            r#"<path d="M78 50L40 72l15 32 15-7v59h60V97l15 7 15-32-38-22q-22 20-44 0z" fill="{main}"/><path d="M78 50q22 32 44 0l-6-2q-16 20-32 0z" fill="{dark}"/><path d="M70 112h60M70 124h60" stroke="{light}" stroke-width="6"/><rect x="106" y="84" width="16" height="18" rx="3" fill="{light}"/>"#
        ),
        "bottle" => format!(
            r#"<rect x="84" y="36" width="32" height="20" rx="6" fill="{accent}"/><path d="M88 56h24v10q16 8 16 26v52a12 12 0 0 1-12 12H84a12 12 0 0 1-12-12V92q0-18 16-26z" fill="{main}"/><path d="M72 104h56v26H72z" fill="{light}"/><path d="M82 90v46" stroke="{light}" stroke-width="5" stroke-linecap="round" opacity=".8"/><rect x="88" y="55" width="24" height="6" fill="{dark}"/>"#
        ),
        "headphones" => format!(
            r#"<path d="M54 122v-16a46 46 0 0 1 92 0v16" fill="none" stroke="{main}" stroke-width="11"/><rect x="42" y="108" width="30" height="48" rx="13" fill="{dark}"/><rect x="128" y="108" width="30" height="48" rx="13" fill="{dark}"/><rect x="64" y="112" width="14" height="40" rx="7" fill="{light}"/><rect x="122" y="112" width="14" height="40" rx="7" fill="{light}"/><circle cx="53" cy="132" r="5" fill="{accent}"/><circle cx="147" cy="132" r="5" fill="{accent}"/>"#
        ),
        "keyboard" => keyboard(p),
        "camera" => format!(
            r##"<rect x="76" y="56" width="48" height="20" rx="6" fill="{dark}"/><rect x="52" y="64" width="16" height="8" rx="3" fill="{accent}"/><rect x="40" y="70" width="120" height="80" rx="13" fill="{main}"/><path d="M40 92h120v34H40z" fill="{dark}"/>
<circle cx="100" cy="110" r="32" fill="{light}"/><circle cx="100" cy="110" r="24" fill="{dark}"/><circle cx="100" cy="110" r="14" fill="#20272b"/><circle cx="94" cy="104" r="4.500" fill="#fff" opacity=".8"/><circle cx="146" cy="81" r="5" fill="{accent}"/>"##
        ),
        _ => format!(
            r##"<rect x="60" y="44" width="84" height="112" rx="7" fill="{main}"/><path d="M67 44h11v112H67a7 7 0 0 1-7-7V51a7 7 0 0 1 7-7z" fill="{dark}"/><rect x="90" y="66" width="42" height="26" rx="3" fill="#fffaf0"/><path d="M97 75h28M97 83h18" stroke="{dark}" stroke-width="3" stroke-linecap="round"/><path d="M128 44v112" stroke="{accent}" stroke-width="5"/><path d="M96 156v14l6-6 6 6v-14z" fill="{accent}"/>"##
        ),
    };
    format!("{shadow}{body}")
}

fn keyboard(p: &Palette) -> String {
    let Palette {
        main,
        dark,
        light,
        accent,
        ..
    } = p;
    let mut keys = String::new();
    for row in 0..3 {
        for column in 0..8 {
            let (x, y) = (43 + column * 14 + row * 2, 82 + row * 15);
            let colour = if (row, column) == (0, 0) || (row, column) == (2, 7) {
                accent
            } else {
                light
            };
            keys.push_str(&format!(
                r#"<rect x="{x}" y="{y}" width="11" height="11" rx="3" fill="{colour}"/>"#
            ));
        }
    }
    format!(
        r#"<path d="M100 74q0-22 18-24t18-16" fill="none" stroke="{dark}" stroke-width="4"/><rect x="34" y="74" width="132" height="80" rx="11" fill="{dark}"/><rect x="34" y="70" width="132" height="78" rx="11" fill="{main}"/>{keys}<rect x="66" y="128" width="66" height="11" rx="4" fill="{light}"/>"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_always_gets_the_same_picture_and_others_differ() {
        assert_eq!(product("mug", 7).into_string(), product("mug", 7).into_string());
        assert_ne!(product("mug", 7).into_string(), product("lamp", 7).into_string());
        let looks: std::collections::HashSet<String> = (0..50)
            .map(|at| product("mug", at * 20 + 1).into_string())
            .collect();
        assert!(looks.len() > 12, "only {} looks among 50 mugs", looks.len());
    }
}
