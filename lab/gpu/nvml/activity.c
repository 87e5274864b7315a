/* What a card does. */
#include <unistd.h>

#include "stand_in.h"

#define MIB (1024ULL * 1024ULL)

/* What an idle card in a server without a display reports. */
#define IDLE_TEMPERATURE_C 34
#define RESERVED_MIB 347ULL
#define USED_MIB 1ULL

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t card, nvmlMemory_v2_t *memory)
{
    unsigned long long total = card_number(card, "memory_mib");
    memory->total = total * MIB;
    memory->reserved = RESERVED_MIB * MIB;
    memory->used = USED_MIB * MIB;
    memory->free = (total - RESERVED_MIB - USED_MIB) * MIB;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t card, nvmlMemory_t *memory)
{
    unsigned long long total = card_number(card, "memory_mib");
    memory->total = total * MIB;
    memory->used = (RESERVED_MIB + USED_MIB) * MIB; /* this version counts the reserve as used */
    memory->free = memory->total - memory->used;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t card, nvmlBAR1Memory_t *memory)
{
    (void)card;
    memory->bar1Total = 256 * MIB;
    memory->bar1Used = MIB;
    memory->bar1Free = 255 * MIB;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperature(
    nvmlDevice_t card, nvmlTemperatureSensors_t sensor, unsigned int *temperature)
{
    (void)card;
    (void)sensor;
    return give(temperature, IDLE_TEMPERATURE_C);
}

nvmlReturn_t nvmlDeviceGetFanSpeed(nvmlDevice_t card, unsigned int *percent)
{
    (void)card;
    return give(percent, 0); /* fans stop when the card is cool */
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t card, nvmlUtilization_t *utilization)
{
    (void)card;
    memset(utilization, 0, sizeof *utilization);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPerformanceState(nvmlDevice_t card, nvmlPstates_t *state)
{
    (void)card;
    *state = NVML_PSTATE_8;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerState(nvmlDevice_t card, nvmlPstates_t *state)
{
    return nvmlDeviceGetPerformanceState(card, state);
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t card, nvmlClockType_t type, unsigned int *mhz)
{
    (void)card;
    return give(mhz, type == NVML_CLOCK_MEM ? 405 : 210);
}

nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t card, nvmlClockType_t type, unsigned int *mhz)
{
    (void)card;
    return give(mhz, type == NVML_CLOCK_MEM ? 10501 : 3105);
}

nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t card, nvmlComputeMode_t *mode)
{
    char folder[TEXT];
    state_folder(card, folder);
    *mode = (nvmlComputeMode_t)read_number(folder, "compute_mode", NVML_COMPUTEMODE_DEFAULT);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceSetComputeMode(nvmlDevice_t card, nvmlComputeMode_t mode)
{
    char folder[TEXT];
    if (geteuid() != 0)
        return NVML_ERROR_NO_PERMISSION;
    state_folder(card, folder);
    return write_number(folder, "compute_mode", (unsigned int)mode);
}

nvmlReturn_t nvmlDeviceGetDisplayMode(nvmlDevice_t card, nvmlEnableState_t *display)
{
    (void)card;
    *display = NVML_FEATURE_DISABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetDisplayActive(nvmlDevice_t card, nvmlEnableState_t *active)
{
    return nvmlDeviceGetDisplayMode(card, active);
}

nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(
    nvmlDevice_t card, unsigned long long *reasons)
{
    (void)card;
    *reasons = nvmlClocksEventReasonGpuIdle;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t card, unsigned long long *reasons)
{
    return nvmlDeviceGetCurrentClocksThrottleReasons(card, reasons);
}

nvmlReturn_t nvmlDeviceGetSupportedClocksThrottleReasons(
    nvmlDevice_t card, unsigned long long *reasons)
{
    (void)card;
    *reasons = nvmlClocksThrottleReasonAll;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetSupportedClocksEventReasons(
    nvmlDevice_t card, unsigned long long *reasons)
{
    return nvmlDeviceGetSupportedClocksThrottleReasons(card, reasons);
}

nvmlReturn_t nvmlDeviceGetPersistenceMode(nvmlDevice_t card, nvmlEnableState_t *mode)
{
    char folder[TEXT];
    state_folder(card, folder);
    *mode = read_number(folder, "persistence_mode", 0) ? NVML_FEATURE_ENABLED
                                                       : NVML_FEATURE_DISABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceSetPersistenceMode(nvmlDevice_t card, nvmlEnableState_t mode)
{
    char folder[TEXT];
    if (geteuid() != 0)
        return NVML_ERROR_NO_PERMISSION;
    if (fault("set_persistence_mode") != NVML_SUCCESS)
        return fault("set_persistence_mode");
    state_folder(card, folder);
    return write_number(folder, "persistence_mode", mode == NVML_FEATURE_ENABLED);
}
