//! An independent count of the clocks that a network takes on a MAC array: when each sample enters
//! each pass, one after another. It shares no code with the engine, which it is held against, as the
//! paper held its MLP engine against a mapping tool.
//!
//! A sample enters a pass one clock after the one before it, once its own inputs have come out of
//! the layer before, and not before the last sample of the pass before has left the first row;
//! outputs come out after all rows and columns that the pass uses. Weights are there ahead of time.

use lumacycle_arch::parts::MacArray;

/// Clocks of `samples` through fully connected `layers` (inputs, outputs), `group` at a time.
pub fn clocks(array: &MacArray, layers: &[(u32, u32)], samples: u64, group: u64) -> u64 {
    let (mut left, mut free, mut end) = (samples, 0, 0);
    while left > 0 {
        let now = left.min(group);
        // Several arrays take samples side by side.
        let lanes = u64::from(array.arrays);
        let rows_of_samples = now.div_ceil(lanes) as usize;
        let mut ready = vec![free; rows_of_samples];
        for &(inputs, outputs) in layers {
            let mut done = vec![0; rows_of_samples];
            for first_input in (0..inputs).step_by(array.rows as usize) {
                let rows = u64::from(array.rows.min(inputs - first_input));
                for first_output in (0..outputs).step_by(array.columns as usize) {
                    let columns = u64::from(array.columns.min(outputs - first_output));
                    for (ready, done) in ready.iter().zip(&mut done) {
                        let enters = free.max(*ready);
                        free = enters + 1;
                        *done = (*done).max(enters + rows + columns);
                    }
                }
            }
            ready = done;
        }
        end = end.max(ready.last().copied().unwrap_or(0));
        left -= now;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumacycle_arch::Catalog;

    #[test]
    fn a_full_layer_takes_a_clock_per_sample_and_the_way_through() {
        let array = Catalog::embedded().accelerator("ngpc-8").unwrap().accelerator.mlp;
        assert_eq!(clocks(&array, &[(64, 64)], 512, 512), 511 + 128);
        assert_eq!(clocks(&array, &[(64, 64), (64, 64)], 1024, 512), 2047 + 128);
        // Two tiles of outputs.
        assert_eq!(clocks(&array, &[(64, 128)], 512, 512), 1023 + 128);
        // One sample waits for itself from layer to layer.
        assert_eq!(clocks(&array, &[(64, 64), (64, 64)], 1, 512), 256);
    }
}
