// What libtorch offers in C++ only, and tch does not pass on.
#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <cstdint>

extern "C" {

// float32 means float32: cuDNN's convolutions would use TF32 otherwise. For the whole process.
int32_t sam_octa2_exact_float32() {
    try {
        at::globalContext().setAllowTF32CuDNN(false);
        at::globalContext().setAllowTF32CuBLAS(false);
        return at::globalContext().allowTF32CuDNN() || at::globalContext().allowTF32CuBLAS();
    } catch (...) {
        return -1;
    }
}

// Is libtorch's CUDA part in its place, with a device or without? Asking is remembered for ever.
int32_t sam_octa2_has_cuda() {
    try {
        return at::Context::hasCUDART();
    } catch (...) {
        return -1;
    }
}

// Gives memory that libtorch keeps for later back to the driver. 0: done.
int32_t sam_octa2_empty_cuda_cache() {
    try {
        at::getDeviceAllocator(at::kCUDA)->emptyCache();
        return 0;
    } catch (...) {
        return -1;
    }
}

// Free and all bytes of a GPU's memory. 0: done.
int32_t sam_octa2_cuda_memory(int32_t device, uint64_t *free, uint64_t *total) {
    try {
        auto told = at::getDeviceAllocator(at::kCUDA)->getMemoryInfo(static_cast<c10::DeviceIndex>(device));
        *free = told.first;
        *total = told.second;
        return 0;
    } catch (...) {
        return -1;
    }
}
}
