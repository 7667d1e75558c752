//! Laws of the tables, and the figures that they were made from.

use proptest::prelude::*;

use super::*;
use crate::Catalog;
use crate::accelerator::Accelerator;
use crate::units::Bytes;

fn ngpc() -> Accelerator {
    Catalog::embedded().accelerator("ngpc-64").unwrap().accelerator
}

fn at(node_nm: f64) -> Accelerator {
    let mut a = ngpc();
    a.technology.node_nm = node_nm;
    a
}

fn sram(kib: u32, banks: u32, ports: u32, word: u32) -> BankedSram {
    let capacity = Bytes::new(f64::from(kib) * 1024.0);
    BankedSram { capacity, banks, ports, word: Bytes::new(f64::from(word)), ..ngpc().grid_sram }
}

#[test]
fn published_figures_come_out_at_their_node() {
    let a = at(45.0);
    let silicon = a.silicon();
    for (kib, pj) in [(8, 10.0), (32, 20.0), (1024, 100.0)] {
        let found = silicon.sram_pj_per_byte(&sram(kib, 1, 1, 8)) * 8.0;
        assert!((found - pj).abs() < 1e-9, "{kib} KiB: {found}");
    }
    // An fp16 product with an fp32 sum.
    assert!((silicon.mac_pj(&a.mlp) - 2.0).abs() < 1e-9);
    assert!((silicon.mac_mm2(&a.mlp) - 0.005_824).abs() < 1e-9);
    // A bank of 128 KiB is about 0.7 cells.
    let cells = 131_072.0 * 8.0 * 0.346e-6;
    let share = cells / silicon.sram_mm2(&sram(128, 1, 1, 4));
    assert!((share - 0.7).abs() < 0.01, "{share}");
}

#[test]
fn tables_that_cannot_be_are_refused() {
    let catalog = Catalog::embedded();
    let message = |lines: &str| {
        let text = format!("base = \"ngpc-8\"\n[technology]\n{lines}\n");
        catalog.parse_accelerator("x", "x.toml", &text).unwrap_err().to_string()
    };
    assert!(message("node_nm = 5").contains("from 7 to 45 nm"));
    assert!(message("node_nm = 180").contains("from 7 to 45 nm"));
    assert!(message("temperature_c = 150").contains("0 to 110 degrees"));
    assert!(message("nodes_nm = [7, 45]").contains("falling"));
    assert!(message("logic_area = [1, 0.5]").contains("each of 8 nodes"));
    assert!(message("leakage_doubling_c = 0").contains("one degree"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_larger_node_never_takes_less(low in 7.0_f64..45.0, up in 0.0_f64..1.0,
        kib in 1_u32..4096, banks in 0_u32..6, ports in 1_u32..4, word in 1_u32..64)
    {
        let high = low + up * (45.0 - low);
        let (a, b) = (at(low), at(high));
        let (small, large) = (a.silicon(), b.silicon());
        let memory = sram(kib, 1 << banks, ports, word);
        let more = |x: f64, y: f64| y >= x * (1.0 - 1e-12);
        prop_assert!(more(small.sram_mm2(&memory), large.sram_mm2(&memory)));
        prop_assert!(more(small.sram_pj_per_byte(&memory), large.sram_pj_per_byte(&memory)));
        prop_assert!(more(small.mac_pj(&a.mlp), large.mac_pj(&a.mlp)));
        prop_assert!(more(small.mac_mm2(&a.mlp), large.mac_mm2(&a.mlp)));
        prop_assert!(more(a.area_mm2(), b.area_mm2()));
        prop_assert!(more(a.idle_w(), b.idle_w()));
    }

    #[test]
    fn more_bytes_or_ports_take_more_area_energy_and_leakage(kib in 1_u32..4096,
        banks in 0_u32..7, ports in 1_u32..4, word in 1_u32..64, node in 7.0_f64..45.0)
    {
        let a = at(node);
        let silicon = a.silicon();
        let memory = sram(kib, 1 << banks, ports, word);
        for more in [sram(kib * 2, 1 << banks, ports, word), sram(kib, 1 << banks, ports + 1, word)] {
            prop_assert!(silicon.sram_mm2(&more) > silicon.sram_mm2(&memory));
            prop_assert!(silicon.sram_pj_per_byte(&more) > silicon.sram_pj_per_byte(&memory));
            let leakage = |sram| silicon.leakage_w(silicon.sram_mm2(sram));
            prop_assert!(leakage(&more) > leakage(&memory));
        }
        let banked = sram(kib, 2 << banks, ports, word);
        prop_assert!(silicon.sram_mm2(&banked) > silicon.sram_mm2(&memory));
        // A wide word shares what does not depend on its width.
        let wide = sram(kib, 1 << banks, ports, word * 2);
        prop_assert!(silicon.sram_pj_per_byte(&wide) < silicon.sram_pj_per_byte(&memory));
    }

    #[test]
    fn hotter_leaks_more(cold in 0.0_f64..109.0, step in 0.5_f64..50.0) {
        let hot = (cold + step).min(110.0);
        let mut a = at(7.0);
        a.technology.temperature_c = cold;
        let before = a.idle_w();
        a.technology.temperature_c = hot;
        prop_assert!(a.idle_w() > before);
    }
}
