//! Launches as profilers write them, and what they must be taken for.

use std::sync::Arc;

use lumacycle_workloads::ops::{ConvDirection, Operation};
use lumacycle_workloads::{DType, KernelClass, Launch};

use super::{Classified, Known, classify};
use crate::recording::{EventKind, Operator, Signature};

fn launched(
    name: &str,
    operator: &str,
    shapes: &[&[i64]],
    types: &[&str],
    scalars: &[&str],
    launch: Launch,
) -> Classified {
    let operator = Operator {
        name: Arc::from(operator),
        arguments: (0..u32::try_from(shapes.len()).unwrap()).collect(),
        shapes: shapes.iter().map(|shape| shape.to_vec()).collect(),
        strides: Vec::new(),
        types: types.iter().map(|text| (*text).to_owned()).collect(),
        scalars: scalars.iter().map(|text| (*text).to_owned()).collect(),
    };
    let signature = Signature {
        kind: EventKind::Kernel,
        name: Arc::from(name),
        launch: Some(launch),
        bytes: None,
        operator: Some(Arc::new(operator)),
        collective: None,
        work: None,
    };
    classify(&signature, 80)
}

fn grid(x: u32, y: u32, z: u32, threads: u32) -> Launch {
    Launch { grid: [x, y, z], block: [threads, 1, 1], registers: 128, shared_bytes: 0 }
}

#[test]
fn a_product_keeps_its_tile_in_the_grid_s_orientation() {
    let found = launched(
        "ampere_sgemm_128x64_nn",
        "aten::mm",
        &[&[4096, 64], &[64, 2798]],
        &["float", "float"],
        &[],
        grid(22, 64, 1, 128),
    );
    let Some(Operation::Gemm(gemm)) = found.operation else { panic!("no product") };
    assert_eq!((gemm.m, gemm.n, gemm.k), (4096, 2798, 64));
    let tile = gemm.tile.unwrap();
    assert_eq!((tile.m, tile.n), (64, 128));
    assert_eq!((found.known, gemm.split_k), (Known::Kernel, Some(1)));
}

#[test]
fn sizes_that_overflow_are_not_believed() {
    let huge = 1_i64 << 40;
    let found = launched(
        "ampere_fp16_s16816gemm_fp16_128x128_ldg8_stages_32x5_tn",
        "aten::mm",
        &[&[huge, 64], &[64, huge]],
        &["c10::Half"],
        &[],
        grid(8, 8, 1, 128),
    );
    assert_eq!(found.known, Known::Assumed);
    let found = launched(
        "volta_scudnn_128x64_wgrad",
        "aten::cudnn_convolution_backward_weight",
        &[&[], &[64, huge, 8, 8], &[64, huge, 8, 8]],
        &["float"],
        &[],
        grid(8, 8, 1, 128),
    );
    assert_eq!(found.known, Known::Assumed);
}

#[test]
fn a_compiled_graph_s_inputs_are_not_the_kernel_s() {
    let found = launched(
        "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float> >",
        "CompiledFunction",
        &[&[8192, 11192], &[4096, 2798]],
        &["float"],
        &[],
        grid(1, 1, 1, 512),
    );
    assert_eq!((found.class, found.known), (KernelClass::Reduction, Known::Assumed));
}

#[test]
fn cudnn_attention_is_no_convolution() {
    let q: &[i64] = &[2, 16, 1024, 64];
    let found = launched(
        "cudnn_generated_fort_native_sdpa_sm80_flash_fprop_wgmma_f16_knob_7_64x128x128_4x1x1",
        "aten::_scaled_dot_product_cudnn_attention",
        &[q, q, q],
        &["c10::BFloat16", "c10::BFloat16", "c10::BFloat16"],
        &[],
        grid(16, 16, 2, 128),
    );
    let Some(Operation::Attention(attention)) = found.operation else { panic!("no attention") };
    assert_eq!((attention.heads_q, attention.seq_q, attention.dtype), (16, 1024, DType::Bf16));
}

#[test]
fn attention_backward_starts_with_the_gradient() {
    let (q, kv): (&[i64], &[i64]) = (&[4, 4096, 8, 64], &[4, 77, 8, 64]);
    let found = launched(
        "void pytorch_flash::flash_bwd_dq_dk_dv_loop_seqk_parallel_kernel",
        "aten::_flash_attention_backward",
        &[q, q, kv, kv],
        &["c10::Half"],
        &[],
        grid(1, 8, 4, 256),
    );
    let Some(Operation::Attention(attention)) = found.operation else { panic!("no attention") };
    assert!(attention.backward);
    assert_eq!((attention.seq_q, attention.seq_kv), (4096, 77));
}

#[test]
fn implicit_products_walk_the_filter() {
    let shapes: [&[i64]; 2] = [&[32, 256, 28, 28], &[256, 256, 3, 3]];
    let scalars = ["", "", "[1, 1]", "[1, 1]", "[1, 1]"];
    for name in [
        "void implicit_convolve_sgemm<float, float, 128, 6, 7, 3, 3, 5, 1, false, true, true>(int)",
        "volta_scudnn_128x64_relu_interior_nn_v1",
    ] {
        let found = launched(
            name,
            "aten::cudnn_convolution",
            &shapes,
            &["float", "float"],
            &scalars,
            grid(196, 4, 1, 256),
        );
        let Some(Operation::Convolution(conv)) = found.operation else { panic!("{name}") };
        assert_eq!((conv.filter, conv.out_pixels), (9, 28 * 28), "{name}");
        assert_eq!(conv.direction, ConvDirection::Forward);
    }
}

#[test]
fn dilation_spreads_the_filter() {
    let found = launched(
        "volta_scudnn_128x64_relu_interior_nn_v1",
        "aten::cudnn_convolution",
        &[&[8, 256, 33, 33], &[256, 256, 3, 3]],
        &["float"],
        &["", "", "[12, 12]", "[1, 1]", "[12, 12]"],
        grid(69, 4, 1, 128),
    );
    let Some(Operation::Convolution(conv)) = found.operation else { panic!("no convolution") };
    assert_eq!(conv.out_pixels, 33 * 33);
}

#[test]
fn embedding_gradients_scatter_rows_of_the_table_s_width() {
    let found = launched(
        "void at::native::(anonymous namespace)::embedding_backward_feature_kernel<float, float, long>",
        "aten::embedding_dense_backward",
        &[&[2, 1024, 768], &[2, 1024]],
        &["float", "long int"],
        &["", "", "30522", "-1", "False"],
        grid(12, 1, 1, 1024),
    );
    let Some(Operation::Embedding(embedding)) = found.operation else { panic!("no embedding") };
    assert_eq!((embedding.table_rows, embedding.width, embedding.lookups), (30_522, 768, 2048));
    assert!(embedding.backward);
}

#[test]
fn elementwise_sizes_come_from_the_operator_while_the_launch_agrees() {
    let name = "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, at::detail::Array<char*, 3> >(int)";
    let shape: &[i64] = &[2048, 4096];
    let of = |ctas| {
        launched(
            name,
            "aten::add",
            &[shape, shape],
            &["float", "float"],
            &[],
            grid(ctas, 1, 1, 128),
        )
    };
    for ctas in [16_384, 8_192] {
        let found = of(ctas);
        assert_eq!(found.known, Known::Kernel, "{ctas}");
        let Some(Operation::Streaming(pass)) = found.operation else { panic!("no pass") };
        assert_eq!(pass.read_bytes + pass.write_bytes, 3.0 * 2048.0 * 4096.0 * 4.0);
    }
    // A helper on another tensor: three arrays of the size that the launch covers.
    assert_eq!(of(100).known, Known::Launch);
}

/// Nsight's spelling of templates says the same as the framework's.
#[test]
fn names_of_both_spellings_are_one_kernel() {
    let alone = |name: &str| {
        let signature = Signature {
            kind: EventKind::Kernel,
            name: Arc::from(name),
            launch: Some(grid(8192, 1, 1, 128)),
            bytes: None,
            operator: None,
            collective: None,
            work: None,
        };
        classify(&signature, 80)
    };
    for (nsight, framework) in [
        (
            "void at::native::vectorized_elementwise_kernel<(int)4, at::native::CUDAFunctor_add<float>, std::array<char *, (unsigned long)3>>(int, T2, T3)",
            "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, std::array<char*, 3ul> >(int, at::native::CUDAFunctor_add<float>, std::array<char*, 3ul>)",
        ),
        (
            "void at::native::elementwise_kernel<(int)128, (int)2, at::native::gpu_kernel_impl<at::native::MulFunctor<float>>(at::TensorIteratorBase &)>(int, T3)",
            "void at::native::elementwise_kernel<128, 2, at::native::gpu_kernel_impl<at::native::MulFunctor<float> >(at::TensorIteratorBase&)>(int, int)",
        ),
    ] {
        let (a, b) = (alone(nsight), alone(framework));
        assert_eq!(a, b, "{nsight}");
        assert_eq!(a.known, Known::Launch);
    }
    let Some(Operation::Streaming(add)) = alone("void at::native::vectorized_elementwise_kernel<(int)4, at::native::CUDAFunctor_add<float>, std::array<char *, (unsigned long)3>>(int, T2, T3)").operation else {
        panic!("no stream")
    };
    // Two operands and a result.
    assert!((add.read_bytes / add.write_bytes - 2.0).abs() < 1e-9);
}

/// A CTA turns a patch of 32 pixels and 32 channels; its grid says how many there are where shapes don't.
#[test]
fn layout_changes_have_the_size_of_their_grid_or_of_the_tensor() {
    let name = "void cudnn::ops::nchwToNhwcKernel<float, float, float, false, true>(int)";
    let elements = |shapes: &[&[i64]], launch| {
        let types = vec!["float"; shapes.len()];
        let found = launched(name, "aten::cudnn_convolution", shapes, &types, &[], launch);
        let Some(Operation::Streaming(work)) = found.operation else { panic!("no pass") };
        assert!((work.read_bytes - 4.0 * work.elements).abs() < 1e-3);
        work.elements
    };
    // 14 × 14 pixels are six patches of 32 and a part of one.
    let tensor = 32.0 * 512.0 * 196.0;
    let shaped = elements(&[&[32, 512, 14, 14], &[512, 512, 3, 3]], grid(7, 16, 32, 256));
    assert_eq!(shaped, tensor);
    let unshaped = elements(&[], grid(7, 16, 32, 256));
    assert!((unshaped / tensor - 1.0).abs() < 0.1, "{unshaped} {tensor}");
}

#[test]
fn sums_over_splits_that_nothing_tells_are_no_known_work() {
    let name = "void cudnn::cnn::reduce_wgrad_nchw_helper<float, float>(void*)";
    let found = launched(name, "aten::convolution_backward", &[], &[], &[], grid(2048, 1, 1, 128));
    assert!(matches!(found.operation, Some(Operation::Unknown(_))), "{found:?}");
    assert_eq!(found.known, Known::Assumed);
}
