//! Which memories and object pointers a slice looks at. Pure arithmetic on slice numbers.
//! Source: `sam2_base.py` (_prepare_memory_conditioned_features), `sam2_utils.py` (select_closest_cond_frames).

use crate::model::ModelConfig;

/// The slices one object has results on, and where we stand.
#[derive(Debug, Clone, Copy)]
pub struct Timeline<'a> {
    /// slices with prompts, ascending
    pub prompted: &'a [usize],
    /// slices tracked without prompts, ascending
    pub tracked: &'a [usize],
    /// the slice to be computed
    pub frame: usize,
    /// tracking towards lower numbers
    pub reverse: bool,
    /// slices of the stack
    pub frames: usize,
}

impl Timeline<'_> {
    /// Memories as (slice, `t_pos`): all chosen prompted slices, then up to `num_maskmem - 1` tracked ones, farthest first.
    pub fn memories(&self, config: &ModelConfig) -> Vec<(usize, i64)> {
        let (chosen, others) = self.closest_prompted(config.max_cond_frames_in_attn);
        let mut memories: Vec<_> = chosen.into_iter().map(|frame| (frame, 0)).collect();
        for t_pos in 1..config.num_maskmem {
            let at = self.previous(config.num_maskmem - t_pos, config.memory_temporal_stride_for_eval);
            memories.extend(self.known(at, &others).map(|frame| (frame, t_pos)));
        }
        memories
    }

    /// Pointers as (slice, distance): of the chosen prompted slices (only those behind us, if so configured), then of the nearest tracked.
    pub fn pointers(&self, config: &ModelConfig) -> Vec<(usize, i64)> {
        let (chosen, others) = self.closest_prompted(config.max_cond_frames_in_attn);
        let ahead = |frame: usize| if self.reverse { frame < self.frame } else { frame > self.frame };
        let signed = |frame: usize| (self.frame as i64 - frame as i64) * if self.reverse { -1 } else { 1 };
        let distance = |frame| if config.use_signed_tpos_enc_to_obj_ptrs { signed(frame) } else { signed(frame).abs() };
        let prompted = chosen.into_iter().filter(|&frame| !(config.only_obj_ptrs_in_the_past_for_eval && ahead(frame)));
        let mut pointers: Vec<_> = prompted.map(|frame| (frame, distance(frame))).collect();
        for step in 1..config.max_obj_ptrs_in_encoder.min(self.frames as i64) {
            pointers.extend(self.known(self.shifted(step), &others).map(|frame| (frame, step)));
        }
        pointers
    }

    /// The slice `step` before the current one, in the direction of tracking.
    fn shifted(&self, step: i64) -> i64 {
        self.frame as i64 - if self.reverse { -step } else { step }
    }

    /// The slice of the memory that lies `back` memories back: the last slice, then every `stride`-th.
    fn previous(&self, back: i64, stride: i64) -> i64 {
        if back == 1 {
            return self.shifted(1);
        }
        let frame = self.frame as i64;
        if self.reverse {
            (frame + 2 + stride - 1).div_euclid(stride) * stride + (back - 2) * stride
        } else {
            (frame - 2).div_euclid(stride) * stride - (back - 2) * stride
        }
    }

    /// A slice that was tracked, or prompted but not chosen.
    fn known(&self, frame: i64, others: &[usize]) -> impl Iterator<Item = usize> {
        let frame = usize::try_from(frame).ok();
        frame.filter(|frame| self.tracked.binary_search(frame).is_ok() || others.contains(frame)).into_iter()
    }

    /// At most `most` prompted slices (-1: all): the nearest before, the nearest at or after, then by distance. -> chosen, others
    pub fn closest_prompted(&self, most: i64) -> (Vec<usize>, Vec<usize>) {
        let Ok(most) = usize::try_from(most) else { return (self.prompted.to_vec(), Vec::new()) };
        if self.prompted.len() <= most {
            return (self.prompted.to_vec(), Vec::new());
        }
        let before = self.prompted.iter().copied().rev().find(|&frame| frame < self.frame);
        let after = self.prompted.iter().copied().find(|&frame| frame >= self.frame);
        let mut chosen: Vec<usize> = before.into_iter().chain(after).collect();
        let mut rest: Vec<usize> = self.prompted.iter().copied().filter(|frame| !chosen.contains(frame)).collect();
        rest.sort_by_key(|&frame| frame.abs_diff(self.frame));
        let others = rest.split_off(most.saturating_sub(chosen.len()).min(rest.len()));
        chosen.extend(rest);
        (chosen, others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ModelConfig {
        ModelConfig::preset("2.1-tiny").unwrap()
    }

    fn at(prompted: &'static [usize], tracked: &'static [usize], frame: usize, reverse: bool) -> Timeline<'static> {
        Timeline { prompted, tracked, frame, reverse, frames: 40 }
    }

    #[test]
    fn all_prompted_slices_then_the_six_before() {
        let tracked = &[1, 2, 3, 4, 5, 6, 7, 8, 9];
        let memories = at(&[0, 20], tracked, 10, false).memories(&config());
        assert_eq!(memories, [(0, 0), (20, 0), (4, 1), (5, 2), (6, 3), (7, 4), (8, 5), (9, 6)]);
    }

    #[test]
    fn backwards_the_six_after() {
        let memories = at(&[20], &[13, 14, 15, 16, 17, 18, 19], 12, true).memories(&config());
        assert_eq!(memories, [(20, 0), (18, 1), (17, 2), (16, 3), (15, 4), (14, 5), (13, 6)]);
    }

    #[test]
    fn pointers_of_prompts_ahead_are_left_out() {
        let pointers = at(&[0, 20], &[8, 9], 10, false).pointers(&config());
        assert_eq!(pointers, [(0, 10), (9, 1), (8, 2)]);
        let pointers = at(&[0, 20], &[11, 12], 10, true).pointers(&config());
        assert_eq!(pointers, [(20, 10), (11, 1), (12, 2)]);
    }

    /// The cases of `units_mini21.json`.
    #[test]
    fn closest_prompted_as_the_reference() {
        let timeline = |frame| at(&[0, 3, 4, 9, 12], &[], frame, false);
        assert_eq!(timeline(5).closest_prompted(-1).0, [0, 3, 4, 9, 12]);
        assert_eq!(timeline(5).closest_prompted(3), (vec![4, 9, 3], vec![0, 12]));
        assert_eq!(timeline(14).closest_prompted(2), (vec![12, 9], vec![4, 3, 0]));
        assert_eq!(timeline(0).closest_prompted(2), (vec![0, 3], vec![4, 9, 12]));
    }

    #[test]
    fn a_stride_takes_every_nth_slice_and_the_last() {
        let config = ModelConfig { memory_temporal_stride_for_eval: 5, ..config() };
        let tracked: &[usize] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22];
        let memories = Timeline { prompted: &[0], tracked, frame: 23, reverse: false, frames: 40 }.memories(&config);
        assert_eq!(memories, [(0, 0), (5, 2), (10, 3), (15, 4), (20, 5), (22, 6)]);
    }
}
