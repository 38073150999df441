//! Colours that people with any kind of colour vision can tell apart: Okabe & Ito, "Color Universal Design" (2008).

/// Inside and outside marks.
pub(crate) const POSITIVE: [u8; 3] = [0, 220, 130];
/// see [`POSITIVE`]
pub(crate) const NEGATIVE: [u8; 3] = [240, 60, 30];

/// Okabe-Ito without black, in an order that puts the ones that stand out on grey first.
const OKABE_ITO: [[u8; 3]; 7] =
    [[230, 159, 0], [86, 180, 233], [204, 121, 167], [240, 228, 66], [0, 158, 115], [213, 94, 0], [0, 114, 178]];

/// The colour of an object; 0 is black. Numbers above 7 take the colours again, each time darker.
pub(crate) fn of_object(object: u8) -> [u8; 3] {
    let Some(index) = usize::from(object).checked_sub(1) else { return [0; 3] };
    let shade = [1.0, 0.75, 0.55, 0.4][(index / OKABE_ITO.len()).min(3)];
    OKABE_ITO[index % OKABE_ITO.len()].map(|channel| (f32::from(channel) * shade) as u8)
}
