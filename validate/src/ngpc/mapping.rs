//! An independent count of the clocks that a network takes on a MAC array: every weight column and
//! every sample is walked, and the better of two dataflows is taken for each layer. It shares no
//! code with the engine, which it is held against, as the paper held its MLP engine against a
//! mapping tool.

use lumacycle_arch::parts::MacArray;

/// Clocks of `samples` through fully connected `layers` (inputs, outputs), `group` at a time.
pub fn clocks(array: &MacArray, layers: &[(u32, u32)], samples: u64, group: u64) -> u64 {
    let mut clock = 0;
    let mut left = samples;
    while left > 0 {
        let now = left.min(group);
        for &(inputs, outputs) in layers {
            let stationary = weights_stay(array, inputs, outputs, now);
            clock += stationary.min(outputs_stay(array, inputs, outputs, now));
        }
        left -= now;
    }
    clock
}

/// Weights stay in the array, samples pass by: for each tile of weights one sample enters per
/// clock, and the last one leaves after it has crossed rows and columns. The next tile's weights
/// are in place when its first sample comes, if they are loaded ahead; a tile that needs sums of
/// the one before can follow it at once, as sums return in the order in which samples went in, but
/// not before they are back.
fn weights_stay(array: &MacArray, inputs: u32, outputs: u32, samples: u64) -> u64 {
    let mut clock = 0;
    let mut first_input = 0;
    while first_input < inputs {
        let rows = array.rows.min(inputs - first_input);
        let mut first_output = 0;
        while first_output < outputs {
            let columns = array.columns.min(outputs - first_output);
            let load = if array.preloads_weights { 0 } else { u64::from(rows) };
            let crossing = u64::from(rows) + u64::from(columns);
            clock += load + samples.div_ceil(u64::from(array.arrays)).max(crossing);
            first_output += columns;
        }
        first_input += rows;
    }
    clock
}

/// Sums stay in the array: a tile of samples by outputs is computed input after input, then read
/// out row by row while the next one starts.
fn outputs_stay(array: &MacArray, inputs: u32, outputs: u32, samples: u64) -> u64 {
    let mut clock = 0;
    let per_tile = u64::from(array.rows) * u64::from(array.arrays);
    let tiles = samples.div_ceil(per_tile);
    let mut first_output = 0;
    while first_output < outputs {
        let columns = array.columns.min(outputs - first_output);
        clock += tiles * u64::from(inputs).max(u64::from(array.rows)) + u64::from(columns);
        first_output += columns;
    }
    clock
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumacycle_arch::Catalog;

    #[test]
    fn a_full_layer_takes_a_clock_per_sample() {
        let array = Catalog::embedded().accelerator("ngpc-8").unwrap().accelerator.mlp;
        assert_eq!(clocks(&array, &[(64, 64)], 512, 512), 512);
        assert_eq!(clocks(&array, &[(64, 64), (64, 64)], 1024, 512), 2048);
        // Two tiles of outputs.
        assert_eq!(clocks(&array, &[(64, 128)], 512, 512), 1024);
    }
}
