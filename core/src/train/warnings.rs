//! What a person should know of a training before trusting it: said in the report, whatever its numbers are.

use super::records::EpochRecord;

/// Fewer training cases say little about other eyes.
const FEW: usize = 5;
/// A loss that falls by less than this share has not fallen.
const FALLS: f64 = 0.02;
/// Dice by which propagation may get worse from the first epoch to the best one.
const WORSE: f64 = 0.02;

/// Everything to say about a training on so many cases (training, validation), whose epochs these are, the best of them at `best`.
pub fn warnings([train, validation]: [usize; 2], epochs: &[EpochRecord], best: Option<usize>) -> Vec<String> {
    let mut told = Vec::new();
    if train < FEW {
        told.push(format!("{train} training case(s): what is learnt may hold for these eyes alone"));
    }
    if validation == 0 {
        told.push(
            "no case of its own validates: the training cases were measured, and the best epoch is the best for these"
                .to_owned(),
        );
    }
    if let [first, .., last] = epochs
        && last.loss > first.loss * (1.0 - FALLS)
    {
        told.push(format!(
            "the loss did not fall ({:.3} in epoch {}, {:.3} in epoch {}): raise the learning rate, or train for more epochs",
            first.loss, first.epoch, last.loss, last.epoch
        ));
    }
    let followed = |epoch: &EpochRecord| epoch.validation?.followed_dice;
    let chosen = epochs.iter().find(|epoch| Some(epoch.epoch) == best).or(epochs.last());
    if let (Some(first), Some(chosen)) = (epochs.first(), chosen)
        && let (Some(before), Some(after)) = (followed(first), followed(chosen))
        && after < before - WORSE
    {
        told.push(format!(
            "propagation got worse (Dice of slices without a prompt {before:.3} in epoch {}, {after:.3} in epoch {}): train on longer clips",
            first.epoch, chosen.epoch
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::records::Means;

    fn epoch(epoch: usize, loss: f64, followed: f64) -> EpochRecord {
        let means = Means {
            slices: 4,
            loss,
            dice: 0.5,
            jaccard: 0.4,
            precision: 0.5,
            recall: 0.5,
            specificity: 0.9,
            cldice: 0.5,
            hausdorff_mm: None,
            hd95_mm: None,
            prompted_dice: Some(0.8),
            followed_dice: Some(followed),
        };
        EpochRecord { epoch, loss, skipped: 0, validation: Some(means), dense: None }
    }

    #[test]
    fn each_weakness_is_said_and_a_sound_training_says_nothing() {
        let sound = [epoch(1, 0.8, 0.4), epoch(2, 0.5, 0.5)];
        assert!(warnings([20, 5], &sound, Some(2)).is_empty());
        let of = |cases, epochs: &[EpochRecord], best| warnings(cases, epochs, best).join("\n");
        assert!(of([1, 5], &sound, Some(2)).contains("1 training case(s)"));
        assert!(of([20, 0], &sound, Some(2)).contains("no case of its own validates"));
        assert!(
            of([20, 5], &[epoch(1, 0.8, 0.4), epoch(2, 0.795, 0.5)], Some(2)).contains("the loss did not fall (0.800")
        );
        assert!(of([20, 5], &[epoch(1, 0.8, 0.69), epoch(2, 0.5, 0.1)], Some(2)).contains("propagation got worse"));
        assert!(warnings([20, 5], &sound[..1], Some(1)).is_empty(), "one epoch shows no course");
    }
}
